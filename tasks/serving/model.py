"""Portrait model as MLflow serves it: a model from code, so that no pickle is written or read.

MLflow runs this file to build the model. Input: columns `image` (PNG or JPEG, base64) and `style`;
optional `structure`, `color` (0 to 1), `preserve_color`, `size` (pixels), `align`, `fit_steps`.
Output: PNG in base64, whose text chunks `dualstylegan:...` hold the facts of its making. A row of
the answer has no field for a warning about the fit: it is the chunk `dualstylegan:warning`, and a
line of the server's log.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from dualstylegan.errors import ImageError, LikenessWarning

if TYPE_CHECKING:
    from PIL import Image

OPTIONS = ("structure", "color", "preserve_color", "size", "align", "fit_steps")


class ServedPortraits(PythonModel):
    """PortraitModel behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Load the portrait model from the artifacts."""
        from dualstylegan.portrait.model import PortraitModel

        # each photo's own, not the first alone
        warnings.simplefilter("always", LikenessWarning)
        self.model = PortraitModel.from_pretrained(Path(context.artifacts["portrait"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[str]:
        """Restyle each row's image.

        Raises:
            ImageError: an image cannot be read.
            SettingsError: an unknown style, or a value out of its bounds.
            FaceError: no usable face.
        """
        return [self._restyle(row) for row in model_input.to_dict("records")]

    def _restyle(self, row: dict[Any, Any]) -> str:
        options = {name: row[name] for name in OPTIONS if name in row and pd.notna(row[name])}
        for name in ("preserve_color", "align"):
            if name in options:
                options[name] = bool(options[name])
        for name in ("size", "fit_steps"):
            if name in options:
                options[name] = int(options[name])
        image = self.model.transfer(decode(row["image"]), str(row["style"]), **options)
        return encode(image)


def decode(text: str) -> Image.Image:
    """Read an image in base64 with the checks of any file.

    Raises:
        ImageError: not base64, or not an image.
    """
    import tempfile

    from dualstylegan.io.images import read_image

    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise ImageError("not base64", value=str(text)[:40], limit="PNG or JPEG") from error
    with tempfile.NamedTemporaryFile(suffix=".image") as handle:
        handle.write(data)
        handle.flush()
        return read_image(Path(handle.name))


def encode(image: Image.Image) -> str:
    """Return an image and the facts in its `info` as PNG in base64."""
    from dualstylegan.portrait.result import encode_result

    return base64.b64encode(encode_result(image)).decode()


# MLflow executes a copy of this file under a name of its own; imported, it must not register.
if __name__ != "tasks.serving.model":
    set_model(ServedPortraits())
