"""Import of published files into a model folder, with every tensor accounted for.

An imported folder holds, beside the networks in our own form, one JSON tree per file: the file's
structure, its plain values, and the location of each of its tensors. Export walks the trees, so
that it returns every key, in order, with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from dualstylegan.codes.fitting import FitSettings
from dualstylegan.codes.sampling import SAMPLER_FILE, StyleSampler
from dualstylegan.errors import CheckpointError, SettingsError
from dualstylegan.io.checkpoints import fill, save_tensors
from dualstylegan.io.files import atomic_directory, write_json
from dualstylegan.io.names import safe_name
from dualstylegan.networks.config import CONFIG_FILE, MODEL_FILE, NetworkConfig
from dualstylegan.networks.generator import Generator
from dualstylegan.networks.listing import write_listing
from dualstylegan.portrait.card_file import write_card
from dualstylegan.portrait.config import ModelName, PortraitConfig, TransferDefaults
from dualstylegan.published.layout import (
    ADAPTED_FILE,
    ENCODER_FILE,
    FOLDER,
    GENERATOR_FILE,
    MANIFEST,
    STYLES_FILE,
    State,
    generator_config,
    listed,
)
from dualstylegan.published.reader import PublishedFile, read_published
from dualstylegan.published.recognition import Import, absorb
from dualstylegan.published.roles import assign_candidates
from dualstylegan.published.trees import freeze

MEAN_SAMPLES = 16_384
# Weights and truncation of the published inference script; the fit is this project's.
DEFAULTS = TransferDefaults(
    structure=0.75,
    color=1.0,
    truncation=0.75,
    fit_steps=FitSettings.steps,
    fit_rate=FitSettings.rate,
    fit_identity_weight=FitSettings.identity_weight,
    fit_restyled_weight=FitSettings.restyled_weight,
)
# Rows whose codes the sampler's structure network makes.
STRUCTURE_ROWS = 7


def import_published(
    files: Sequence[Path | str],
    out: Path | str,
    *,
    name: str = "published",
    source: Path | str | None = None,
    adapted: Path | str | None = None,
) -> list[str]:
    """Import published files into a model folder.

    Args:
        files: any of a DualStyleGAN generator, StyleGAN2, pSp encoders, IR-SE50, VGG19, a sampler,
            and the .npy dictionaries of codes. With a generator, a Z+ encoder and extrinsic codes
            the folder is a complete model for `dualstylegan transfer`.
        out: the model folder; appears whole or not at all.
        name: name of the model, 1 to 100 characters.
        source: StyleGAN2 file that holds the source generator g.
        adapted: StyleGAN2 file that holds g', the generator adapted to a style. The two are needed
            only where the files do not tell g from g'; see `roles`.

    Returns:
        One line per file with its role, then remarks.

    Raises:
        CheckpointError: a file is refused or unknown, or keys are missing, unexpected or misshapen;
            they are listed. Nothing is written then.
        SettingsError: the name is empty or too long.
    """
    _check_model_name(name)
    out = Path(out)
    if out.exists() and not (out / MANIFEST).is_file():
        raise CheckpointError(
            "the folder exists and is no imported model", file=out, fix="name another"
        )
    said = [None if path is None else Path(path) for path in (source, adapted)]
    paths = _all_paths(files, said)
    gathered = Import()
    roles: dict[str, str] = {}
    digests: dict[str, str] = {}
    with atomic_directory(out) as folder:
        for path in paths:
            published = read_published(path)
            digests[path.name] = published.sha256
            role = absorb(gathered, published)
            if role is not None:
                roles[path.name] = role
                _write_tree(gathered, published, folder)
            del published  # a gigabyte or more
        roles |= assign_candidates(gathered, *said)
        for one in gathered.candidates:
            _write_tree(gathered, one.source, folder)
        _write_networks(gathered, folder)
        _write_model(gathered, folder, name)
        manifest = [
            {"name": file, "sha256": digest, "role": roles[file]}
            for file, digest in digests.items()
        ]
        write_json(folder / MANIFEST, {"files": manifest, "notes": gathered.notes})
        write_listing(folder)
    return [f"{entry['name']}: {entry['role']}" for entry in manifest] + gathered.notes


def _check_names(paths: Sequence[Path]) -> None:
    """Refuse two files of the same name, and names that cannot be kept in the model folder."""
    names: set[str] = set()
    for path in paths:
        if path.name in names:
            raise CheckpointError("two files of the same name", file=path, fix="rename one")
        if safe_name(path.name) != path.name:
            raise CheckpointError(
                "a file name that cannot be kept",
                file=path,
                fix=f"rename it {safe_name(path.name)}",
            )
        names.add(path.name)


def _write_tree(gathered: Import, source: PublishedFile, folder: Path) -> None:
    """Write a file's structure as JSON, and its tensors that no network file holds."""
    name = source.path.name
    rest_name = f"{FOLDER}/{name}.safetensors"
    tree, rest = freeze(source.tree, gathered.places.get(name, {}), rest_name)
    if rest:
        save_tensors(folder / rest_name, rest)
    write_json(folder / FOLDER / f"{name}.json", tree)


def _write_networks(gathered: Import, folder: Path) -> None:
    """Write each network; generators get the mean of W, which the published files lack."""
    for target, state in gathered.networks.items():
        if target == SAMPLER_FILE:
            _sampler(state).save(folder / target)
            continue
        if target in (GENERATOR_FILE, ADAPTED_FILE):
            generator = generator_config(state, folder / target).build()
            state["mean_w"] = _mean_w(generator, state)
        elif target == MODEL_FILE and gathered.config is not None:
            generator = gathered.config.generator.build()
            prefix = "generator."
            inner = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            state["generator.mean_w"] = _mean_w(generator, inner)
        save_tensors(folder / target, state)


def _mean_w(generator: Generator, state: State) -> Tensor:
    """Return the mean of W over codes drawn from a fixed seed."""
    fill(generator, {**state, "mean_w": generator.mean_w}, "generator")
    generator.measure_mean_w(MEAN_SAMPLES)
    return generator.mean_w


def _sampler(state: State) -> StyleSampler:
    """Build the sampler of a checked state: 7 structure rows, the others colour."""
    widths = [len(state[f"{part}.6.weight"]) for part in ("structure", "color")]
    style_dim = widths[0] // STRUCTURE_ROWS
    if widths[0] % STRUCTURE_ROWS or not style_dim or widths[1] % style_dim or not widths[1]:
        raise CheckpointError(
            "a sampler whose networks do not fit each other",
            value=f"structure to {widths[0]} numbers, color to {widths[1]}",
            limit=f"{STRUCTURE_ROWS} rows of structure and others of colour, of one width",
            fix="give the file as it was published",
        )
    sampler = StyleSampler(STRUCTURE_ROWS + widths[1] // style_dim, STRUCTURE_ROWS, style_dim)
    sampler.load_state_dict(state)
    return sampler


def _all_paths(files: Sequence[Path | str], said: Sequence[Path | None]) -> list[Path]:
    """Return the files to import, each once: those given, and those said to be g or g'."""
    paths = list(map(Path, files))
    known = {path.resolve() for path in paths}
    paths += [path for path in said if path is not None and path.resolve() not in known]
    if not paths:
        raise CheckpointError("no files to import", fix="name at least one published file")
    _check_names(paths)
    return paths


def _write_model(gathered: Import, folder: Path, name: str) -> None:
    """Write config.json and the style codes, if the files make a complete model."""
    extrinsic = gathered.codes.get("refined_exstyle_code", gathered.codes.get("exstyle_code"))
    parts = {
        "a DualStyleGAN generator": gathered.config,
        "a Z+ encoder": gathered.networks.get(ENCODER_FILE),
        "extrinsic codes": extrinsic,
    }
    absent = [what for what, part in parts.items() if part is None]
    if absent or gathered.config is None or extrinsic is None:
        gathered.notes.append(f"not a complete model for transfer: lacks {', '.join(absent)}")
        return
    network = gathered.config.model_copy(update={"encoder": "psp"})
    intrinsic = gathered.codes.get("instyle_code")
    if intrinsic is None:
        gathered.notes.append("no instyle_code.npy: extrinsic codes are used as intrinsic ones")
        intrinsic = extrinsic
    tables = {"extrinsic": extrinsic, "intrinsic": intrinsic}
    _check_shapes(gathered, tables, _code_shape(network))
    names = tuple(extrinsic)
    config = _model_config(gathered, name, network, names)
    write_json(folder / CONFIG_FILE, config.model_dump(mode="json"))
    stacked = {k: torch.stack([codes[n] for n in names]) for k, codes in tables.items()}
    save_tensors(folder / STYLES_FILE, stacked)
    (folder / "thumbnails").mkdir()
    write_card(folder, config, _card(gathered, name))


def _check_shapes(
    gathered: Import, tables: Mapping[str, Mapping[str, Tensor]], shape: tuple[int, int]
) -> None:
    """Refuse codes, an encoder or a sampler that do not fit the generator's codes (L, D)."""
    extrinsic, intrinsic = tables["extrinsic"], tables["intrinsic"]
    if set(intrinsic) != set(extrinsic):
        raise CheckpointError(
            "intrinsic and extrinsic codes have different names",
            value=listed(sorted(set(intrinsic) ^ set(extrinsic))),
            fix="give the codes of one style set",
        )
    limit = f"({shape[0]}, {shape[1]})"
    for kind, codes in tables.items():
        if wrong := [name for name, code in codes.items() if tuple(code.shape) != shape]:
            raise CheckpointError(
                f"{kind} codes do not fit the generator",
                value=listed(wrong),
                limit=limit,
                fix="give files of one release",
            )
    found = {"encoder": tuple(gathered.networks[ENCODER_FILE]["latent_avg"].shape)}
    if SAMPLER_FILE in gathered.networks:
        sampler = _sampler(gathered.networks[SAMPLER_FILE])
        found["sampler"] = (sampler.rows, sampler.style_dim)
    for what, own in found.items():
        if own != shape:
            raise CheckpointError(
                f"the {what} does not fit the generator",
                file=gathered.owner[ENCODER_FILE if what == "encoder" else SAMPLER_FILE],
                value=f"codes of {own}",
                limit=limit,
                fix="give files of one release",
            )


def _model_config(
    gathered: Import, name: str, network: NetworkConfig, styles: tuple[str, ...]
) -> PortraitConfig:
    """Return the config of a complete model (SettingsError: not a name for it)."""
    try:
        return PortraitConfig(
            name=name,
            network=network,
            defaults=DEFAULTS,
            styles=styles,
            labels={style: label for style, label in gathered.labels.items() if style in styles},
            has_sampler=SAMPLER_FILE in gathered.networks,
        )
    except ValidationError as error:
        raise _misnamed(error) from error


def _check_model_name(name: str) -> None:
    """Refuse what is no name for a model before gigabytes are read (SettingsError)."""
    try:
        TypeAdapter(ModelName).validate_python(name)
    except ValidationError as error:
        raise _misnamed(error) from error


def _misnamed(error: ValidationError) -> SettingsError:
    first = error.errors()[0]
    return SettingsError(
        "not a name for a model",
        value=str(first["input"])[:100],
        limit=first["msg"],
        fix="give another --name",
    )


def _code_shape(network: NetworkConfig) -> tuple[int, int]:
    """Return rows and width of the generator's Z+ codes."""
    with torch.device("meta"):
        generator = network.generator.build()
    return generator.rows, generator.style_dim


def _card(gathered: Import, name: str) -> str:
    """Write the model card: the files of origin, whose licence the model has."""
    lines = [f"- {target}: from {source}" for target, source in gathered.owner.items()]
    return "\n".join(
        [f"# {name}", "", "Imported from published files, whose licence applies:", "", *lines, ""]
    )
