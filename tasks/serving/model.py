"""Portrait model as MLflow serves it: a model from code, so that no pickle is written or read.

MLflow runs this file by itself, with the library at hand and without the project. `docs/serving.md`
describes requests and answers, `signature.py` states them to MLflow.
"""

from __future__ import annotations

import base64
import functools
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE
from mlflow.pyfunc.context import get_prediction_context
from mlflow.pyfunc.model import PythonModel

from dualstylegan.errors import DualStyleGANError, SettingsError, WeightsError

if TYPE_CHECKING:
    from PIL import Image

    from dualstylegan.io.photo_room import PhotoRoom
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.options import ReadOptions, RestyleOptions
    from dualstylegan.portrait.sitter import Sitter
    from dualstylegan.portrait.style_choice import ChosenStyle

LOGGER = logging.getLogger("dualstylegan.serving")
# Error of a row, or of a request, that the client cannot do anything about.
FAULT = "the model failed; the server's log has the cause"
JSON_TYPE = "application/json"
MAX_BODY = 256 << 20
# Longest sentence to a client: values and MLflow's own words may be long.
MAX_SENTENCE = 600
# MLflow drops what the signature does not name before `predict` sees it, and tells its log alone.
MLFLOW_LOG = logging.getLogger("mlflow.models.utils")
DROPPED = {
    "params": re.compile(r"Unrecognized params (\[.*\]) are ignored"),
    "columns": re.compile(r"Found extra inputs .* signature: `(\[.*\])`"),
}


class RefusedError(MlflowException):
    """Refusal of a request, whose message for the client is the sentence alone.

    Before it MLflow's server writes the request's data, the beginnings of its photos among them.
    """

    def __init__(self, sentence: str, code: int = INVALID_PARAMETER_VALUE, **facts: Any) -> None:
        super().__init__(sentence, code, **facts)
        self.sentence = sentence

    def serialize_as_json(self) -> str:
        """Return the body of the answer in HTTP."""
        self.message = self.sentence
        body: str = super().serialize_as_json()  # type: ignore[no-untyped-call]
        return body


@dataclass(frozen=True)
class Answer:
    """Answer to a row; None where there is nothing to say.

    Attributes:
        image: file of the result in base64; None where the row failed.
        error: what is wrong with the row.
        warning: why the person may not be recognised.
        likeness: identity similarity of each restyled face as it was fitted to the photo, the
            largest first; None where face recognition is not at hand.
        left_out: faces that were found and not restyled, and why.
        recipe: all that decides about the pixels, as the result's file holds it.
    """

    image: str | None = None
    error: str | None = None
    warning: str | None = None
    likeness: list[float | None] | None = None
    left_out: list[str] | None = None
    recipe: dict[str, str] | None = None


class ServedPortraits(PythonModel):
    """PortraitModel behind MLflow's interface."""

    # tells this model from others in one process
    serves_portraits = True

    def load_context(self, context: Any) -> None:
        """Load the portrait model from the artifacts, and the weights that it refers to."""
        from dualstylegan.io.photo_room import PhotoRoom
        from dualstylegan.portrait.model import PortraitModel
        from dualstylegan.portrait.shared_weights import local_weights, read_reference

        reference = context.artifacts.get("weights")
        weights = reference and local_weights(read_reference(Path(reference)), fetch_weights)
        portrait = Path(context.artifacts["portrait"])
        self.model = PortraitModel.from_pretrained(portrait, weights_dir=weights)
        self.photos = PhotoRoom()
        MLFLOW_LOG.addFilter(note_dropped)
        guard_invocations()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Restyle the photo of each row; a row that fails does not stop the others.

        Args:
            context: of MLflow.
            model_input: columns `image` and, without `mix` and `seed`, `style`.
            params: options of all rows, by name.

        Returns:
            An `Answer` a row, in columns.

        Raises:
            RefusedError: an option is out of its bounds, or no row can be served.
        """
        try:
            check_names(params or {})
            request = Request.of(self.model, params or {}, self.photos)
        except Exception as error:
            raise refusal([told(error)]) from error
        answers = [request.answer(row) for row in model_input.to_dict("records")]
        errors = [answer.error for answer in answers if answer.error is not None]
        if errors and len(errors) == len(answers):
            raise refusal(errors)
        columns = [column.name for column in fields(Answer)]
        rows = [asdict(answer) for answer in answers]
        return pd.DataFrame(rows, model_input.index, columns, dtype=object)


@dataclass(frozen=True)
class Request:
    """Checked options of a request.

    Attributes:
        model: the model that serves it.
        options: weights, truncation, size, background.
        reading: faces, alignment and steps of the fit.
        paste: put the faces back into their photo.
        suffix: of the result's file format.
        style: of all rows; None: each row names its own.
        photos: room that all requests share.
        sitters: photos that were read, by their text: several rows may show the same.
    """

    model: PortraitModel
    options: RestyleOptions
    reading: ReadOptions
    paste: bool
    suffix: str
    style: ChosenStyle | None
    photos: PhotoRoom
    sitters: dict[str, Sitter] = field(default_factory=dict)

    @classmethod
    def of(cls, model: PortraitModel, params: Mapping[str, Any], photos: PhotoRoom) -> Request:
        """Check the options of a request; None and empty lists take the defaults.

        Raises:
            SettingsError: names the option, its value and the limit.
            CheckpointError: a seed, but the model has no sampler.
        """
        from dualstylegan.portrait.config import result_suffix
        from dualstylegan.portrait.options import ReadOptions, RestyleOptions, parse_faces
        from dualstylegan.portrait.sizes import render_size
        from dualstylegan.portrait.style_choice import choose_style

        given = {name: value for name, value in params.items() if value is not None and value != []}
        if "faces" in given:
            given["faces"] = parse_faces(given["faces"])
        options = RestyleOptions(**_of_class(RestyleOptions, given))
        reading = ReadOptions(**_of_class(ReadOptions, given))
        paste = bool(given.get("paste", False))
        options.check(model.config)
        reading.check_shown(paste)
        render_size(model.generator.output_sizes, options.size)
        mix, seed = given.get("mix"), given.get("seed")
        style = None
        if mix is not None or seed is not None:
            style = choose_style(model, mixed(model, mix), seed, options)
        suffix = result_suffix(given.get("format", "png"))
        return cls(model, options, reading, paste, suffix, style, photos)

    def answer(self, row: Mapping[Any, Any]) -> Answer:
        """Restyle the photo of a row, or say what is wrong."""
        try:
            return self._restyle(row)
        except Exception as error:
            return Answer(error=told(error))

    def _restyle(self, row: Mapping[Any, Any]) -> Answer:
        from dualstylegan.io.base64_images import file_of_base64
        from dualstylegan.portrait.restyling import restyle_sitter
        from dualstylegan.portrait.result import OUTCOME, PREFIX, encode_result, facts_of

        style, text = self._style_of(row), _cell(row, "image")
        # held until its result is encoded, which may be as large
        with self.photos.decoded(file_of_base64(text)) as photo:
            sitter = self._read(text or "", photo)
            result = restyle_sitter(
                self.model, sitter, style, self.options, 0, photo if self.paste else None
            )
            file = encode_result(result, self.suffix)
        facts = facts_of(result)
        recipe = {key.removeprefix(PREFIX): x for key, x in facts.items() if key not in OUTCOME}
        return Answer(
            image=base64.b64encode(file).decode(),
            warning=facts.get(f"{PREFIX}warning"),
            likeness=[face.fit.likeness for face in sitter.faces],
            left_out=[str(face) for face in sitter.left_out],
            recipe=recipe,
        )

    def _style_of(self, row: Mapping[Any, Any]) -> ChosenStyle:
        from dualstylegan.portrait.style_choice import choose_style

        name = _cell(row, "style")
        if self.style is None:
            return choose_style(self.model, name, None, self.options)
        if name is not None:
            raise SettingsError(
                "a row's style beside that of the whole request",
                value=name,
                fix="leave out `style`, or `mix` and `seed`",
            )
        return self.style

    def _read(self, text: str, photo: Image.Image) -> Sitter:
        # not by `PortraitModel.read`, which warns: the answer holds the warnings
        from dualstylegan.portrait.reading import read_sitter

        if text not in self.sitters:
            self.sitters[text] = read_sitter(self.model, photo, self.reading, None)
        return self.sitters[text]


def fetch_weights(address: str, scratch: Path) -> Path:
    """Return the folder of weights that versions share; local if the store is, else in `scratch`.

    Args:
        address: `runs:/ID/PATH` of MLflow's store, MLFLOW_TRACKING_URI.
        scratch: an empty folder.
    """
    from urllib.parse import unquote, urlsplit

    from mlflow.artifacts import download_artifacts
    from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

    location = urlsplit(RunsArtifactRepository.get_underlying_uri(address))
    if location.scheme in ("", "file"):
        return Path(unquote(location.path))
    fetched = download_artifacts(artifact_uri=location.geturl(), dst_path=str(scratch))
    return Path(fetched)


def guard_invocations() -> None:
    """Have MLflow's server check a request before it reads it, and refuse in a sentence alone.

    It has no hook for that; docs/serving.md tells what it does by itself. Its one function that
    turns a body into an answer is wrapped, once, for models of this kind.
    """
    from mlflow.pyfunc import scoring_server

    original = getattr(scoring_server, "invocations", None)
    if original is None:
        LOGGER.warning("this version of MLflow reads requests elsewhere: they are not checked")
    elif not hasattr(original, "__wrapped__"):
        scoring_server.invocations = guarded(original)


def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return MLflow's function `invocations` with checks before it and words of ours after it."""

    @functools.wraps(original)
    def invocations(data: Any, content_type: str | None, model: Any, input_schema: Any) -> Any:
        if not hasattr(model.unwrap_python_model(), "serves_portraits"):
            return original(data, content_type, model, input_schema)
        try:
            return original(check_body(data, content_type), content_type, model, input_schema)
        except MlflowException as error:
            # a second model in this process brings a class `RefusedError` of its own
            if hasattr(error, "sentence"):
                raise
            raise RefusedError(mlflow_sentence(error)) from error
        except Exception as error:
            raise refusal([told(error)]) from error

    return invocations


def check_body(data: bytes, content_type: str | None) -> Any:
    """Return the body of a request, parsed if it is JSON.

    Raises:
        SettingsError: it is too large or no such JSON, or its type is not named.
    """
    from dualstylegan.io.strict_json import parse_strict

    if not content_type:
        raise SettingsError(
            "no content type",
            limit=JSON_TYPE,
            fix="say what the body is in the header Content-Type",
        )
    if len(data) > MAX_BODY:
        raise SettingsError(
            "the request is too large",
            limit=f"{MAX_BODY >> 20} MB",
            fix="send smaller photos, or fewer at a time",
        )
    if content_type.split(";")[0].strip() != JSON_TYPE:
        return data
    if isinstance(value := parse_strict(data), dict):
        return value
    raise SettingsError("the request is no JSON object", fix="give rows as `dataframe_records`")


def mlflow_sentence(error: MlflowException) -> str:
    """Return what MLflow says of a request, without its data, advice on versions or stack trace."""
    said = str(error).partition(" IMPORTANT: ")[0]
    return shortened(said.rpartition("'. Error: ")[2])


def shortened(sentence: str) -> str:
    """Return a sentence of bounded length, in characters that can be sent."""
    text = sentence.encode(errors="backslashreplace").decode()
    return text if len(text) <= MAX_SENTENCE else f"{text[:MAX_SENTENCE]}..."


def note_dropped(record: logging.LogRecord) -> bool:
    """Note the names that MLflow's log says to be dropped, with the prediction that they are of."""
    prediction = get_prediction_context()
    for place, pattern in DROPPED.items():
        found = pattern.search(record.getMessage())
        if prediction is not None and found is not None:
            vars(prediction)[f"dropped_{place}"] = re.findall("'([^']*)'", found[1])
    return True


def check_names(params: Mapping[str, Any]) -> None:
    """Refuse options that the signature does not name, and those that stand in columns.

    Raises:
        SettingsError: names them.
    """
    prediction = get_prediction_context()
    dropped = {} if prediction is None else vars(prediction)
    unknown = dropped.get("dropped_params", [])
    if unknown:
        raise SettingsError(
            "unknown options",
            value=", ".join(unknown),
            limit=", ".join(params),
            fix="give these alone",
        )
    misplaced = [name for name in dropped.get("dropped_columns", []) if name in params]
    if misplaced:
        raise SettingsError(
            "options as columns", value=", ".join(misplaced), fix="give them in `params`"
        )


def told(error: Exception) -> str:
    """Return what a client is told of an error; the server's log gets what is not its business."""
    # an error that names a file is about the server's own, as are missing weights
    ours = isinstance(error, WeightsError)
    if isinstance(error, DualStyleGANError) and error.file is None and not ours:
        return shortened(str(error))
    LOGGER.error(FAULT, exc_info=error)
    return FAULT


def refusal(errors: list[str]) -> RefusedError:
    """Return the refusal of a request of which no row can be served, or that has one error."""
    code = INTERNAL_ERROR if FAULT in errors else INVALID_PARAMETER_VALUE
    if len(errors) == 1:
        return RefusedError(errors[0], code)
    sentence = f"none of the {len(errors)} rows can be served; the first: {errors[0]}"
    return RefusedError(sentence, code, errors=errors)


def mixed(model: PortraitModel, texts: list[str] | None) -> dict[str, float] | None:
    """Return the weights by style of a mix such as `a:0.6`, `b:0.4`.

    Raises:
        SettingsError: an unknown style, a part that is no text, or several styles that are no mix.
    """
    from dualstylegan.portrait.styles import parse_styles

    if texts is None:
        return None
    if not all(isinstance(text, str) for text in texts):
        raise SettingsError(
            "a part of `mix` is no text",
            value=str(texts)[:80],
            limit="name, or name:weight",
            fix="give a list of texts",
        )
    styles = parse_styles(model.styles.names, model.styles.labels, texts)
    if len(styles) > 1:
        raise SettingsError(
            "several styles that are no mix", value=texts, fix="give each by itself, as name:weight"
        )
    return styles[0]


def _of_class(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are attributes of a dataclass."""
    return {one.name: given[one.name] for one in fields(kind) if one.name in given}


def _cell(row: Mapping[Any, Any], column: str) -> str | None:
    """Return the text of a row in a column; None where it is missing or empty.

    Raises:
        SettingsError: something else than text: MLflow takes it for a text's column all the same.
    """
    value = row.get(column)
    if isinstance(value, str):
        return str(value) or None
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    raise SettingsError(
        f"`{column}` is not a text", value=str(value)[:80], fix="give texts alone in this column"
    )


# MLflow executes a copy of this file under a name of its own; imported, it must not register.
if __name__ != "tasks.serving.model":
    set_model(ServedPortraits())
