"""Published files to a model folder and back, every tensor accounted for.

A folder that was imported holds, beside the networks in our own form, one JSON tree for each file:
the file's structure, its plain values, and where each of its tensors now lies. Export walks the
trees, so that what comes back has every key, in order, with the same bits.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualstylegan.errors import CheckpointError
from dualstylegan.io.checkpoints import fill, save_tensors
from dualstylegan.io.files import atomic_directory, write_bytes, write_json
from dualstylegan.networks.config import CONFIG_FILE, MODEL_FILE, NetworkConfig
from dualstylegan.networks.generator import Generator
from dualstylegan.portrait.config import PortraitConfig, TransferDefaults
from dualstylegan.published.layout import (
    ADAPTED_FILE,
    DISCRIMINATOR_FILE,
    ENCODER_FILE,
    ENCODER_W_PLUS_FILE,
    FOLDER,
    GENERATOR_FILE,
    IDENTITY_FILE,
    MANIFEST,
    STYLES_FILE,
    VGG19_FILE,
    State,
    check_state,
    generator_config,
    is_state,
    kind_of_state,
    network_config,
)
from dualstylegan.published.pickles import Namespace
from dualstylegan.published.reader import PublishedFile, read_published
from dualstylegan.published.trees import Place, TreePath, freeze

MEAN_SAMPLES = 16_384
MAX_STYLES = 100_000
# Weights and truncation of the published inference script.
DEFAULTS = TransferDefaults(structure=0.75, color=1.0, truncation=0.75)
# What a generator checkpoint holds beside g_ema. Optimisers and the rest are kept, not used.
GENERATOR_PARTS = frozenset({"g", "d", "g_ema"})
GENERATOR_EXTRAS = frozenset({"g_optim", "d_optim", "args", "ada_aug_p", "latent_avg"})
ENCODER_PARTS = frozenset({"state_dict", "latent_avg", "opts"})
CODE_ROLES = ("refined_exstyle_code", "exstyle_code", "instyle_code")


@dataclass
class Import:
    """What has been gathered from the files so far.

    Attributes:
        networks: file name in the model folder to the state that goes there.
        owner: the published file that each of them came from.
        places: for each published file, tree path to (file in the folder, key) of a tensor that a
            network file holds already.
        codes: role to named codes (L, D).
        notes: remarks for the manifest, in plain words.
    """

    networks: dict[str, State] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    places: dict[str, dict[TreePath, Place]] = field(default_factory=dict)
    codes: dict[str, State] = field(default_factory=dict)
    config: NetworkConfig | None = None
    notes: list[str] = field(default_factory=list)

    def claim(
        self,
        source: PublishedFile,
        target: str,
        tree_path: TreePath,
        state: State,
        prefix: str = "",
    ) -> None:
        """Put a state into a network file and remember where its tensors came from."""
        if target in self.networks:
            raise CheckpointError(
                "two files of the same kind",
                file=source.path,
                value=self.owner[target],
                fix="give one of them",
            )
        self.owner[target] = source.path.name
        self.networks[target] = {prefix + k: v for k, v in state.items()}
        places = self.places.setdefault(source.path.name, {})
        places.update({(*tree_path, k): (target, prefix + k) for k in state})


def import_published(
    files: Sequence[Path | str], out: Path | str, *, name: str = "published"
) -> list[str]:
    """Import published files into a model folder.

    Args:
        files: any of a DualStyleGAN generator, StyleGAN2, pSp encoders, IR-SE50, VGG19, a sampler,
            and the .npy dictionaries of codes. With a generator, a Z+ encoder and extrinsic codes
            the folder is a whole model for `dualstylegan transfer`.
        out: the model folder; appears whole or not at all.
        name: name of the model.

    Returns:
        One line a file: what it was taken for; then remarks.

    Raises:
        CheckpointError: a file is refused or unknown, or keys are missing, unexpected or misshapen;
            they are listed. Nothing is written then.
    """
    out = Path(out)
    if out.exists() and not (out / MANIFEST).is_file():
        raise CheckpointError(
            "the folder is there already and is no imported model", file=out, fix="name another"
        )
    if not files:
        raise CheckpointError("no files to import", fix="name at least one published file")
    gathered = Import()
    manifest: list[dict[str, str]] = []
    with atomic_directory(out) as folder:
        for path in map(Path, files):
            source = read_published(path)
            if any(entry["name"] == path.name for entry in manifest):
                raise CheckpointError("two files of the same name", file=path)
            if not plain_name(path.name):
                raise CheckpointError("an unusable file name", file=path, fix="rename the file")
            role = _absorb(gathered, source)
            _write_tree(gathered, source, folder)
            manifest.append({"name": path.name, "sha256": source.sha256, "role": role})
        _write_networks(gathered, folder)
        _write_model(gathered, folder, name)
        write_json(folder / MANIFEST, {"files": manifest, "notes": gathered.notes})
    return [f"{entry['name']}: {entry['role']}" for entry in manifest] + gathered.notes


def _absorb(gathered: Import, source: PublishedFile) -> str:
    """Recognise a file by what it holds, check it, and take what networks need; its role."""
    tree = source.tree
    if source.path.suffix == ".npy":
        return _absorb_codes(gathered, source)
    if isinstance(tree, dict) and is_state(tree):
        return _absorb_state(gathered, source, tree)
    if isinstance(tree, dict) and "g_ema" in tree:
        return _absorb_generator(gathered, source, tree)
    if isinstance(tree, dict) and "state_dict" in tree:
        return _absorb_encoder(gathered, source, tree)
    sampler = isinstance(tree, dict) and set(tree) == {"color", "structure"}
    if sampler and all(is_state(part) for part in tree.values()):
        return "code sampler (kept, not run: its layout is not described)"
    found = sorted(map(str, tree)) if isinstance(tree, dict) else type(tree).__name__
    raise _unknown(source, found)


def _unknown(source: PublishedFile, found: Any) -> CheckpointError:
    return CheckpointError(
        "no published file that is known",
        file=source.path,
        value=found,
        limit="generator, encoder, IR-SE50, VGG19, sampler or codes",
    )


def _absorb_state(gathered: Import, source: PublishedFile, tree: State) -> str:
    kind = kind_of_state(tree)
    targets = {
        "ir_se50": IDENTITY_FILE,
        "vgg19": VGG19_FILE,
        "discriminator": DISCRIMINATOR_FILE,
    }
    if kind not in targets:
        raise _unknown(source, kind or f"{len(tree)} tensors, such as {next(iter(tree))}")
    gathered.claim(source, targets[kind], (), check_state(kind, tree, source.path))
    return kind


def _known_parts(source: PublishedFile, tree: dict[str, Any], known: frozenset[str]) -> None:
    """Refuse a checkpoint with parts that are not in the published layout."""
    if unexpected := sorted(set(map(str, tree)) - known):
        raise CheckpointError(
            "not the published layout", file=source.path,
            value=f"unexpected: {', '.join(unexpected)}", limit=", ".join(sorted(known)),
        )  # fmt: skip


def _absorb_generator(gathered: Import, source: PublishedFile, tree: dict[str, Any]) -> str:
    _known_parts(source, tree, GENERATOR_PARTS | GENERATOR_EXTRAS)
    parts = {name: tree[name] for name in tree if name in GENERATOR_PARTS}
    states: dict[str, State] = {}
    for name, part in parts.items():
        if not is_state(part):
            raise CheckpointError("not a state dict", file=source.path, value=name)
        kind = kind_of_state(part)
        wanted = ("discriminator",) if name == "d" else ("dualstylegan", "stylegan2")
        if kind is None or kind not in wanted:
            raise _unknown(source, f"{name}: {kind}")
        states[name] = check_state(kind, part, source.path, name)
    ema = states["g_ema"]
    if "d" in states and DISCRIMINATOR_FILE not in gathered.networks:
        gathered.claim(source, DISCRIMINATOR_FILE, ("d",), states["d"])
    if kind_of_state(ema) == "dualstylegan":
        gathered.config = network_config(ema, source.path)
        gathered.claim(source, MODEL_FILE, ("g_ema",), ema)
        return "DualStyleGAN"
    adapted = set(tree) == {"g_ema"}
    gathered.claim(source, ADAPTED_FILE if adapted else GENERATOR_FILE, ("g_ema",), ema)
    return "StyleGAN2 adapted to a style" if adapted else "StyleGAN2"


def _absorb_encoder(gathered: Import, source: PublishedFile, tree: dict[str, Any]) -> str:
    _known_parts(source, tree, ENCODER_PARTS)
    state = tree["state_dict"]
    if not is_state(state):
        raise CheckpointError("not a state dict", file=source.path, value="state_dict")
    parts: dict[str, State] = {"encoder.": {}, "decoder.": {}}
    for key, value in state.items():
        prefix = key[: key.find(".") + 1]
        if prefix not in parts:
            raise CheckpointError(
                "not the published layout of psp", file=source.path, value=f"unexpected: {key}"
            )
        parts[prefix][key.removeprefix(prefix)] = value
    encoder = check_state("psp", parts["encoder."], source.path, "encoder")
    if parts["decoder."]:
        check_state("stylegan2", parts["decoder."], source.path, "decoder")
    rows = sum(key.endswith(".linear.weight") for key in encoder)
    centre = _latent_centre(source, tree, rows, encoder["latlayer1.weight"].shape[0])
    w_plus = bool(centre.any())
    target = ENCODER_W_PLUS_FILE if w_plus else ENCODER_FILE
    gathered.claim(source, target, ("state_dict",), {f"encoder.{k}": v for k, v in encoder.items()})
    gathered.networks[target]["latent_avg"] = centre
    return "pSp encoder into W+" if w_plus else "pSp encoder into Z+"


def _latent_centre(source: PublishedFile, tree: dict[str, Any], rows: int, width: int) -> Tensor:
    """What the encoder's rows are relative to, (L, D): zero unless its options say otherwise."""
    opts = tree.get("opts", {})
    fields = opts.fields if isinstance(opts, Namespace) else opts
    centre = tree.get("latent_avg")
    fits = centre is None or (
        isinstance(centre, Tensor)
        and tuple(centre.shape) in ((width,), (1, width), (rows, width))
        and bool(centre.isfinite().all())
    )
    if not isinstance(fields, dict) or not fits:
        raise CheckpointError(
            "not the published layout of psp", file=source.path, value="misshapen: opts, latent_avg"
        )
    if fields.get("start_from_latent_avg") is True and centre is not None:
        rows_LD: Tensor = centre.float().expand(rows, width).clone()
        return rows_LD
    return torch.zeros(rows, width)


def plain_name(name: Any) -> bool:
    """A file name and nothing else: it becomes a style's id and the name of its thumbnail."""
    return (
        isinstance(name, str)
        and 0 < len(name.encode("utf-8", "replace")) <= 200
        and name[0] != "."
        and not set(name) & set('/\\:*?"<>|')
        and not any(unicodedata.category(c).startswith("C") for c in name)
    )


def _absorb_codes(gathered: Import, source: PublishedFile) -> str:
    tree = source.tree
    role = next((role for role in CODE_ROLES if source.path.stem == role), None)
    if role is None:
        raise CheckpointError(
            "codes whose kind is not known", file=source.path,
            limit=", ".join(f"{role}.npy" for role in CODE_ROLES), fix="keep the published name",
        )  # fmt: skip
    if not isinstance(tree, dict) or not 0 < len(tree) <= MAX_STYLES:
        raise CheckpointError("not a dictionary of codes", file=source.path)
    bad = [
        str(name)
        for name, code in tree.items()
        if not plain_name(name)
        or not isinstance(code, Tensor)
        or code.dtype != torch.float32
        or code.ndim != 3
        or len(code) != 1
        or not bool(code.isfinite().all())
    ]
    if bad:
        raise CheckpointError(
            "codes that are not finite float32 of shape (1, rows, width) under a file name",
            file=source.path,
            value=", ".join(bad),
        )
    if role in gathered.codes:
        raise CheckpointError("two files of the same kind", file=source.path)
    gathered.codes[role] = {name: code[0] for name, code in tree.items()}
    return f"{len(tree)} codes"


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
        if target in (GENERATOR_FILE, ADAPTED_FILE):
            generator = generator_config(state, folder / target).build()
            state["mean_w"] = _mean_w(generator, state)
        elif target == MODEL_FILE and gathered.config is not None:
            generator = gathered.config.generator.build()
            inner = {k[10:]: v for k, v in state.items() if k.startswith("generator.")}
            state["generator.mean_w"] = _mean_w(generator, inner)
        save_tensors(folder / target, state)


def _mean_w(generator: Generator, state: State) -> Tensor:
    """The mean of W over codes drawn from a fixed seed."""
    fill(generator, {**state, "mean_w": generator.mean_w}, "generator")
    generator.measure_mean_w(MEAN_SAMPLES)
    return generator.mean_w


def _write_model(gathered: Import, folder: Path, name: str) -> None:
    """config.json and the style codes, if what was given makes a whole model."""
    extrinsic = gathered.codes.get("refined_exstyle_code", gathered.codes.get("exstyle_code"))
    parts = {
        "a DualStyleGAN generator": gathered.config,
        "a Z+ encoder": gathered.networks.get(ENCODER_FILE),
        "extrinsic codes": extrinsic,
    }
    absent = [what for what, part in parts.items() if part is None]
    if absent or gathered.config is None or extrinsic is None:
        gathered.notes.append(f"not a whole model for transfer: lacks {', '.join(absent)}")
        return
    network = gathered.config.model_copy(update={"encoder": "psp"})
    intrinsic = gathered.codes.get("instyle_code")
    if intrinsic is None:
        gathered.notes.append("no instyle_code.npy: extrinsic codes stand in for intrinsic ones")
        intrinsic = extrinsic
    if set(intrinsic) != set(extrinsic):
        raise CheckpointError(
            "intrinsic and extrinsic codes are of different files",
            value=", ".join(sorted(set(intrinsic) ^ set(extrinsic))),
        )
    rows, width = _code_shape(network)
    for kind, codes in (("extrinsic", extrinsic), ("intrinsic", intrinsic)):
        if wrong := [k for k, code in codes.items() if tuple(code.shape) != (rows, width)]:
            raise CheckpointError(
                f"{kind} codes do not fit the generator", value=", ".join(wrong),
                limit=f"({rows}, {width})",
            )  # fmt: skip
    encoder = gathered.networks[ENCODER_FILE]["latent_avg"]
    if tuple(encoder.shape) != (rows, width):
        raise CheckpointError(
            "the encoder does not fit the generator",
            value=tuple(encoder.shape),
            limit=f"({rows}, {width})",
        )
    names = tuple(extrinsic)
    config = PortraitConfig(name=name, network=network, defaults=DEFAULTS, styles=names)
    write_json(folder / CONFIG_FILE, config.model_dump(mode="json"))
    tables = {"extrinsic": extrinsic, "intrinsic": intrinsic}
    stacked = {k: torch.stack([codes[n] for n in names]) for k, codes in tables.items()}
    save_tensors(folder / STYLES_FILE, stacked)
    (folder / "thumbnails").mkdir()
    write_bytes(folder / "MODEL_CARD.md", _card(gathered, name).encode())


def _code_shape(network: NetworkConfig) -> tuple[int, int]:
    with torch.device("meta"):
        generator = network.generator.build()
    return generator.rows, generator.style_dim


def _card(gathered: Import, name: str) -> str:
    """Where an imported model comes from; its licence is that of the files."""
    lines = [f"- {target}: from {source}" for target, source in gathered.owner.items()]
    return "\n".join(
        [f"# {name}", "", "Imported from published files, whose licence applies:", "", *lines, ""]
    )
