"""Recognition of published files by content: networks, encoders, samplers and style codes.

Each file is checked tensor by tensor, and its networks are assigned to files of the model folder.
Prefixes that wrappers add to keys (`module.` of DataParallel) and outer dictionaries (`state_dict`,
`params_ema`) are removed for the network and kept for export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dualstylegan.codes.sampling import SAMPLER_FILE
from dualstylegan.errors import CheckpointError
from dualstylegan.io.names import safe_name
from dualstylegan.networks.config import MODEL_FILE, NetworkConfig
from dualstylegan.published.layout import (
    DISCRIMINATOR_FILE,
    ENCODER_FILE,
    ENCODER_W_PLUS_FILE,
    IDENTITY_FILE,
    VGG19_FILE,
    State,
    check_state,
    is_encoder,
    is_state,
    kind_of_state,
    listed,
    network_config,
    sampler_state,
    without_prefix,
)
from dualstylegan.published.pickles import Namespace
from dualstylegan.published.reader import PublishedFile
from dualstylegan.published.trees import Place, TreePath

MAX_STYLES = 100_000
# Parts of a generator checkpoint. Optimisers and arguments are kept for export and not used.
GENERATOR_PARTS = frozenset({"g", "d", "g_ema"})
GENERATOR_EXTRAS = frozenset({"g_optim", "d_optim", "args", "ada_aug_p", "latent_avg"})
# What stands beside an encoder's weights and tells Z+ from W+.
ENCODER_OPTIONS = frozenset({"latent_avg", "opts"})
# Keys of outer dictionaries around a state dict, in order of preference.
WRAPPERS = ("params_ema", "state_dict", "model_state_dict", "model", "params")
CODE_ROLES = ("refined_exstyle_code", "exstyle_code", "instyle_code")
UNDERSTOOD = (
    "DualStyleGAN, StyleGAN2, discriminator, pSp encoder, IR-SE50, VGG19, sampler or style codes"
)


@dataclass(frozen=True)
class Candidate:
    """StyleGAN2 generator that may be the source generator g or the adapted g'.

    Attributes:
        source: the file.
        tree_path: path of the state dict in the file.
        prefix: prefix of its keys in the file.
        state: the checked state dict.
        original: True if the file holds what a conversion or training of g writes: a discriminator
            or the mean of W.
    """

    source: PublishedFile
    tree_path: TreePath
    prefix: str
    state: State
    original: bool


@dataclass
class Import:
    """Networks and codes gathered from the files so far.

    Attributes:
        networks: file name in the model folder to the state that goes there.
        owner: file name in the model folder to the published file that it came from.
        places: per published file, tree path to (file in the folder, key) of the tensors that a
            network file holds.
        codes: role to named codes (L, D).
        labels: style name to the name in the published file, where they differ; control characters
            escaped.
        candidates: StyleGAN2 generators whose role is decided after all files are read.
        references: description and state of generators that g must be equal to.
        notes: remarks for the user and the manifest.
    """

    networks: dict[str, State] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    places: dict[str, dict[TreePath, Place]] = field(default_factory=dict)
    codes: dict[str, State] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    config: NetworkConfig | None = None
    candidates: list[Candidate] = field(default_factory=list)
    references: list[tuple[str, State]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def claim(
        self,
        source: PublishedFile,
        target: str,
        tree_path: TreePath,
        state: State,
        *,
        stored: str = "",
        added: str = "",
    ) -> None:
        """Assign a state to a network file and record where its tensors came from.

        Args:
            source: the published file.
            target: file name in the model folder.
            tree_path: path of the state dict in the published file.
            state: tensors by key.
            stored: prefix of the keys in the published file.
            added: prefix of the keys in the network file.

        Raises:
            CheckpointError: another file has claimed the network already.
        """
        if target in self.networks:
            raise CheckpointError(
                "two files of the same kind",
                file=source.path,
                value=self.owner[target],
                fix="give one of them",
            )
        self.owner[target] = source.path.name
        self.networks[target] = {added + k: v for k, v in state.items()}
        places = self.places.setdefault(source.path.name, {})
        places.update({(*tree_path, stored + k): (target, added + k) for k in state})


def absorb(gathered: Import, source: PublishedFile) -> str | None:
    """Recognise a file by its content, check it and gather its networks.

    Returns:
        The file's role; None for a StyleGAN2 whose role `roles.assign_candidates` decides.

    Raises:
        CheckpointError: the file is unknown, or keys are missing, unexpected or misshapen.
    """
    if source.path.suffix == ".npy":
        return _absorb_codes(gathered, source)
    return _absorb_part(gathered, source, source.tree, ())


def _absorb_part(gathered: Import, source: PublishedFile, tree: Any, path: TreePath) -> str | None:
    """Recognise a file's content, or what an outer dictionary wraps."""
    if not isinstance(tree, dict):
        raise _unknown(source, f"a value of type {type(tree).__name__}")
    if is_state(tree):
        return _absorb_state(gathered, source, tree, path)
    if "g_ema" in tree:
        return _absorb_generator(gathered, source, tree, path)
    if set(tree) == {"color", "structure"}:
        return _absorb_sampler(gathered, source, tree, path)
    wrapper = next((key for key in WRAPPERS if isinstance(tree.get(key), dict)), None)
    if wrapper is None:
        raise _unknown(source, f"a dictionary of {listed(map(str, tree))}")
    wrapped = tree[wrapper]
    is_psp = is_state(wrapped) and is_encoder(without_prefix(wrapped)[1])
    used = {wrapper, *(ENCODER_OPTIONS if is_psp else ())}
    if others := [str(key) for key in tree if key not in used]:
        gathered.notes.append(f"{source.path.name}: kept, not used: {listed(others)}")
    if is_psp:
        prefix, state = without_prefix(wrapped)
        return _claim_encoder(gathered, source, (*path, wrapper), prefix, state, tree)
    return _absorb_part(gathered, source, wrapped, (*path, wrapper))


def _unknown(source: PublishedFile, found: str) -> CheckpointError:
    return CheckpointError(
        "no published file that is known",
        file=source.path,
        value=found,
        limit=UNDERSTOOD,
        fix="give the file as it was published, or a state dict of one of these networks",
    )


def _absorb_state(
    gathered: Import, source: PublishedFile, tree: Mapping[str, Tensor], path: TreePath
) -> str | None:
    """Recognise a bare state dict."""
    prefix, state = without_prefix(tree)
    if is_encoder(state):
        gathered.notes.append(
            f"{source.path.name}: no options beside the weights, taken for an encoder into Z+"
        )
        return _claim_encoder(gathered, source, path, prefix, state, {})
    kind = kind_of_state(state)
    if kind == "dualstylegan":
        state = check_state(kind, state, source.path)
        return _claim_dualstylegan(gathered, source, path, prefix, state)
    if kind == "stylegan2":
        state = check_state(kind, state, source.path)
        gathered.candidates.append(Candidate(source, path, prefix, state, original=False))
        return None
    targets = {
        "ir_se50": IDENTITY_FILE,
        "vgg19": VGG19_FILE,
        "discriminator": DISCRIMINATOR_FILE,
    }
    if kind not in targets:
        raise _unknown(source, f"a state dict of {listed(tree, 3)}")
    state = check_state(kind, state, source.path)
    gathered.claim(source, targets[kind], path, state, stored=prefix)
    return kind


def _absorb_generator(
    gathered: Import, source: PublishedFile, tree: dict[Any, Any], path: TreePath
) -> str | None:
    """Recognise a training checkpoint: g_ema, and g, d and optimisers if they are there."""
    known = GENERATOR_PARTS | GENERATOR_EXTRAS
    if unexpected := sorted(set(map(str, tree)) - known):
        raise CheckpointError(
            "not the published layout",
            file=source.path,
            value=f"unexpected: {listed(unexpected)}",
            limit=", ".join(sorted(known)),
            fix="give the file as it was published",
        )
    states: dict[str, tuple[str, State]] = {}
    for name in (name for name in tree if name in GENERATOR_PARTS):
        if not is_state(tree[name]):
            raise CheckpointError(
                "not a state dict",
                file=source.path,
                value=name,
                fix="give the file as it was published",
            )
        prefix, state = without_prefix(tree[name])
        kind = kind_of_state(state)
        expected = ("discriminator",) if name == "d" else ("dualstylegan", "stylegan2")
        if kind is None or kind not in expected:
            raise _unknown(source, f"{name}: {kind or listed(state, 3)}")
        states[name] = prefix, check_state(kind, state, source.path, name)
    if "d" in states and DISCRIMINATOR_FILE not in gathered.networks:
        prefix, state = states["d"]
        gathered.claim(source, DISCRIMINATOR_FILE, (*path, "d"), state, stored=prefix)
    prefix, ema = states["g_ema"]
    path = (*path, "g_ema")
    if kind_of_state(ema) == "dualstylegan":
        return _claim_dualstylegan(gathered, source, path, prefix, ema)
    original = "d" in states or "latent_avg" in tree
    gathered.candidates.append(Candidate(source, path, prefix, ema, original))
    return None


def _claim_dualstylegan(
    gathered: Import, source: PublishedFile, path: TreePath, prefix: str, state: State
) -> str:
    gathered.config = network_config(state, source.path)
    gathered.claim(source, MODEL_FILE, path, state, stored=prefix)
    inner = {
        k.removeprefix("generator."): v for k, v in state.items() if k.startswith("generator.")
    }
    gathered.references.append((f"the generator inside {source.path.name}", inner))
    return "DualStyleGAN"


def _absorb_sampler(
    gathered: Import, source: PublishedFile, tree: dict[Any, Any], path: TreePath
) -> str:
    """Recognise the two networks that map noise to structure rows and to colour rows."""
    state: State = {}
    places: dict[TreePath, Place] = {}
    for part in ("structure", "color"):
        if not is_state(tree[part]):
            raise CheckpointError(
                "not a state dict",
                file=source.path,
                value=part,
                fix="give the file as it was published",
            )
        for key, stored in sampler_state(tree[part], source.path, part).items():
            state[f"{part}.{key}"] = tree[part][stored]
            places[(*path, part, stored)] = (SAMPLER_FILE, f"{part}.{key}")
    gathered.claim(source, SAMPLER_FILE, path, state)
    gathered.places[source.path.name] = places
    return "sampler of extrinsic codes"


def _claim_encoder(
    gathered: Import,
    source: PublishedFile,
    path: TreePath,
    prefix: str,
    state: State,
    tree: dict[Any, Any],
) -> str:
    """Check a pSp encoder and its decoder; options and mean code of `tree` tell Z+ from W+."""
    parts: dict[str, State] = {"encoder.": {}, "decoder.": {}}
    if kind_of_state(state) == "psp":  # the encoder alone, outside its wrapper
        parts["encoder."], state = state, {}
    else:
        prefix += "encoder."
    for key, value in state.items():
        part = key[: key.find(".") + 1]
        if part not in parts:
            raise CheckpointError(
                "not the published layout of psp",
                file=source.path,
                value=f"unexpected: {listed([key])}",
                limit="keys that begin with encoder. or decoder.",
                fix="give the file as it was published",
            )
        parts[part][key.removeprefix(part)] = value
    encoder = check_state("psp", parts["encoder."], source.path, "encoder")
    if parts["decoder."]:
        decoder = check_state("stylegan2", parts["decoder."], source.path, "decoder")
        gathered.references.append((f"the decoder inside {source.path.name}", decoder))
    rows = sum(key.endswith(".linear.weight") for key in encoder)
    centre = _latent_centre(source, tree, rows, encoder["latlayer1.weight"].shape[0])
    w_plus = bool(centre.any())
    target = ENCODER_W_PLUS_FILE if w_plus else ENCODER_FILE
    gathered.claim(source, target, path, encoder, stored=prefix, added="encoder.")
    gathered.networks[target]["latent_avg"] = centre
    return "pSp encoder into W+" if w_plus else "pSp encoder into Z+"


def _latent_centre(source: PublishedFile, tree: dict[Any, Any], rows: int, width: int) -> Tensor:
    """Return the code (L, D) that is added to the encoder's output: zero unless `opts` says so."""
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
            "not the published layout of psp",
            file=source.path,
            value="misshapen: opts, latent_avg",
            fix="give the file as it was published",
        )
    if fields.get("start_from_latent_avg") is True and centre is not None:
        rows_LD: Tensor = centre.float().expand(rows, width).clone()
        return rows_LD
    return torch.zeros(rows, width)


def _absorb_codes(gathered: Import, source: PublishedFile) -> str:
    """Recognise a dictionary of style codes; names that cannot be file names are mapped."""
    tree = source.tree
    role = next((role for role in CODE_ROLES if source.path.stem == role), None)
    if role is None:
        raise CheckpointError(
            "codes whose kind is not known", file=source.path,
            limit=", ".join(f"{role}.npy" for role in CODE_ROLES), fix="keep the published name",
        )  # fmt: skip
    if not isinstance(tree, dict) or not 0 < len(tree) <= MAX_STYLES:
        raise CheckpointError(
            "not a dictionary of codes",
            file=source.path,
            limit=f"1 to {MAX_STYLES} styles",
            fix="give the file as it was published",
        )
    bad = [
        str(name)
        for name, code in tree.items()
        if not isinstance(code, Tensor)
        or code.dtype != torch.float32
        or code.ndim != 3
        or len(code) != 1
        or not bool(code.isfinite().all())
    ]
    if bad:
        raise CheckpointError(
            "codes that are not finite float32 of shape (1, rows, width)",
            file=source.path,
            value=listed(bad),
            fix="give the file as it was published",
        )
    if role in gathered.codes:
        raise CheckpointError(
            "two files of the same kind", file=source.path, fix="give one of them"
        )
    codes: State = {}
    for label, code in tree.items():
        name = safe_name(str(label))
        if name in codes:
            raise CheckpointError(
                "two styles of the same name",
                file=source.path,
                value=listed([str(label)]),
                fix="rename one in the file of codes",
            )
        codes[name] = code[0]
        if name != label:
            gathered.labels[name] = listed([str(label)])  # as people can read it
    gathered.codes[role] = codes
    return f"{len(tree)} codes"
