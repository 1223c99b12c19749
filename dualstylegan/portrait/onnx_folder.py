"""Export of a model folder to ONNX: a folder that restyles photos without torch.

Legend of shape suffixes: C channel, H height, W width, L row, D style width.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dualstylegan.codes.inversion import resize_images
from dualstylegan.errors import DataError, SettingsError
from dualstylegan.faces.detect import DETECTOR_FILE
from dualstylegan.faces.landmarks import PREDICTOR_FILE
from dualstylegan.graphs.exporting import (
    OPSET,
    SharedWeights,
    check_exporter,
    export_graph,
    measure,
)
from dualstylegan.graphs.manifest import (
    MANIFEST_FILE,
    GraphRecord,
    Manifest,
)
from dualstylegan.graphs.modules import (
    GraphPlan,
    encoder_plan,
    mapping_plan,
    recognition_plan,
    restyling_plan,
    synthesis_plan,
)
from dualstylegan.graphs.sessions import Graph
from dualstylegan.io.files import (
    atomic_directory,
    check_writable,
    write_json,
)
from dualstylegan.networks.config import CARD_FILE, CONFIG_FILE, IDENTITY_FILE
from dualstylegan.networks.encoder import PortraitEncoder
from dualstylegan.networks.identity import SAME_PERSON_DISTANCE
from dualstylegan.networks.listing import records_of
from dualstylegan.portrait.card import in_onnx_form
from dualstylegan.portrait.card_file import read_card, write_card
from dualstylegan.portrait.config import (
    CARD_IMAGES,
    LICENCE_FILE,
    STYLES_FILE,
    THUMBNAILS,
    PortraitConfig,
    read_config,
    read_thumbnails,
)
from dualstylegan.portrait.face_weights import (
    FOLDER,
    PACKED_FILE,
    has_weights,
    weights_folder,
)
from dualstylegan.portrait.packed_landmarks import pack_predictor
from dualstylegan.portrait.sizes import render_size

if TYPE_CHECKING:
    from dualstylegan.portrait.model import PortraitModel

DEFAULT_PX = 256
# Called with what is exported now, and the shares of the work done, 0 to 1.
ExportProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class ExportPlan:
    """Wishes for an export.

    Attributes:
        sizes: sides in pixels of the results; empty: 256, or the next that the model renders.
        half: store weights in float16, and the landmark model packed.
    """

    sizes: tuple[int, ...] = ()
    half: bool = False

    def chosen_sizes(self, model: PortraitModel) -> list[int]:
        """Return the sizes that the generator is exported at, in ascending order.

        Raises:
            SettingsError: the generator cannot render one of them.
        """
        offered = model.generator.output_sizes
        if not self.sizes:
            return [render_size(offered, min(DEFAULT_PX, max(offered)))]
        for size in self.sizes:
            if size not in offered:
                raise SettingsError(
                    "--size",
                    value=size,
                    limit=" or ".join(map(str, offered)),
                    fix="other sizes are reduced from the next larger one",
                )
        return sorted(set(self.sizes))


def export_onnx(
    source: Path,
    target: Path,
    plan: ExportPlan,
    progress: ExportProgress = lambda name, share: None,
) -> Manifest:
    """Export a model folder to ONNX; the new folder appears whole or not at all.

    Every graph is run once in onnxruntime and compared with torch.

    Args:
        source: a model folder.
        target: the new folder.
        plan: sizes and precision.
        progress: called before each graph.

    Raises:
        SettingsError: onnx or onnxscript is not installed, or a size is not offered.
        DataError: `target` exists.
        CheckpointError: `source` is damaged, or a graph computes something else than torch.
        OutputError: `target` cannot be written.
    """
    from dualstylegan.portrait.model import PortraitModel

    check_exporter()
    if os.path.lexists(target):
        raise DataError("the folder exists already", file=target, fix="name another")
    config = read_config(source)
    check_writable(target, sum(p.stat().st_size for p in source.rglob("*") if p.is_file()))
    stated = PortraitModel.from_pretrained(source, runtime="torch")
    digest = stated.digest
    # the graphs compute in float32
    model = PortraitModel(
        config.model_copy(update={"bfloat16": False}),
        stated.network,
        stated.encoder,
        stated.styles,
        weights_dir=stated.weights_dir,
    )
    sides = _Sides.of(model, plan)
    with atomic_directory(target) as out:
        graphs = _export_graphs(model, sides, plan, out, progress)
        _copy_rest(source, out, model, plan)
        licence = LICENCE_FILE if (source / LICENCE_FILE).is_file() else CARD_FILE
        manifest = Manifest(
            opset=OPSET,
            weights="float16" if plan.half else "float32",
            source_digest=digest,
            licence=f"see {licence}",
            face_px=sides.face,
            pass_px=sides.rendering,
            likeness_px=sides.likeness,
            person_distance=SAME_PERSON_DISTANCE,
            structure_rows=model.generator.structure_rows,
            encoder=graphs["encoder"],
            mapping=graphs["mapping"],
            generator=_by_side(graphs, "generator"),
            dualstylegan=_by_side(graphs, "dualstylegan"),
            recognition=_by_side(graphs, "recognition"),
            files=records_of(out),
        )
        write_json(out / MANIFEST_FILE, manifest.model_dump(mode="json"))
    return manifest


@dataclass(frozen=True)
class _Sides:
    """Sides in pixels of the pictures that the graphs take and return.

    Attributes:
        face: of the crops.
        rendering: of g's renderings between the passes of the encoder; None: one pass alone.
        likeness: of g's rendering whose likeness is measured.
        results: of the results.
    """

    face: int
    rendering: int | None
    likeness: int
    results: list[int]

    @classmethod
    def of(cls, model: PortraitModel, plan: ExportPlan) -> _Sides:
        """Return the sides of a model's pictures."""
        settings, encoder_px = model.fit_settings(0), model.config.network.encoder_px
        several = settings.passes > 1 and isinstance(model.encoder, PortraitEncoder)
        return cls(
            face=max(settings.size, encoder_px),
            rendering=model.generator.size_up_to(encoder_px) if several else None,
            likeness=settings.size,
            results=plan.chosen_sizes(model),
        )


def _plans(model: PortraitModel, sides: _Sides) -> Iterator[GraphPlan]:
    """Yield the graphs of a model, with codes of its styles as examples."""
    network, generator, styles = model.network, model.generator, model.styles
    code_1LD, face_1LD, style_1LD = _example_codes(model)
    image_1CHW = generator.synthesise(face_1LD, size=sides.likeness).clamp(-1, 1)
    face_1CHW = resize_images(image_1CHW, sides.face)
    encoder_px = model.config.network.encoder_px
    styled_1CHW = network(face_1LD, style_1LD, space="w_plus", size=sides.likeness).clamp(-1, 1)
    yield encoder_plan(model.encoder, face_1CHW, resize_images(styled_1CHW, encoder_px), code_1LD)
    yield mapping_plan(generator, styles.extrinsic_SLD[:1])
    for size in sorted({sides.likeness, sides.rendering or sides.likeness}):
        yield synthesis_plan(generator, size, face_1LD)
    for size in sides.results:
        yield restyling_plan(network, size, face_1LD, style_1LD)
    if has_weights(model.weights_dir, IDENTITY_FILE):
        passes = set() if sides.rendering is None else {encoder_px}
        for size in sorted({sides.face} | passes):
            yield recognition_plan(model.identity(), resize_images(image_1CHW, size))


def _example_codes(model: PortraitModel) -> tuple[Tensor, Tensor, Tensor]:
    """Return a face's code in Z+ and in W+, and a style's in W+, each (1, L, D)."""
    styles, generator = model.styles, model.generator
    code_1LD = styles.intrinsic_SLD[:1]
    return code_1LD, generator.map(code_1LD), generator.map(styles.extrinsic_SLD[:1])


@torch.no_grad()
def _export_graphs(
    model: PortraitModel, sides: _Sides, plan: ExportPlan, out: Path, progress: ExportProgress
) -> dict[str, GraphRecord]:
    """Write all graphs and the weights that they share; return their records by name."""
    shared, plans = SharedWeights(plan.half), list(_plans(model, sides))
    records = {}
    for index, graph in enumerate(plans):
        progress(graph.name, index / len(plans))
        records[graph.name] = export_graph(graph, out, shared)
    shared.write(out)
    for graph in plans:
        record = records[graph.name]
        difference = measure(graph, record, Graph(out, record), plan.half)
        records[graph.name] = record.model_copy(update={"difference": difference})
    return records


def _by_side(graphs: dict[str, GraphRecord], kind: str) -> dict[int, GraphRecord]:
    """Return the graphs of a kind by the sides in their names."""
    return {
        int(name.removeprefix(f"{kind}-")): record
        for name, record in graphs.items()
        if name.startswith(f"{kind}-")
    }


def _copy_rest(source: Path, out: Path, model: PortraitModel, plan: ExportPlan) -> None:
    """Write config, codes, thumbnails, card and licence, and the models that find faces."""
    write_json(out / CONFIG_FILE, exported_config(model.config).model_dump(mode="json"))
    shutil.copyfile(source / STYLES_FILE, out / STYLES_FILE)
    for name in (*CARD_IMAGES, LICENCE_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    if (source / THUMBNAILS).is_dir():
        shutil.copytree(source / THUMBNAILS, out / THUMBNAILS)
    config = read_config(source)
    card = in_onnx_form(read_card(source), plan.half)
    write_card(out, config, card, read_thumbnails(source, config.styles))
    faces = weights_folder(model.weights_dir)
    if faces is not None:
        _copy_faces(faces, out / FOLDER, plan.half)


def _copy_faces(faces: Path, out: Path, half: bool) -> None:
    """Copy the models that find faces; pack the landmark model for a folder in half precision."""
    packed, predictor = faces / PACKED_FILE, faces / PREDICTOR_FILE
    if half and predictor.is_file() and not packed.is_file():
        pack_predictor(predictor, out / PACKED_FILE)
    kept = packed if packed.is_file() else predictor
    for path in (faces / DETECTOR_FILE, *([] if (out / PACKED_FILE).is_file() else [kept])):
        if path.is_file():
            out.mkdir(exist_ok=True)
            shutil.copyfile(path, out / path.name)


def exported_config(config: PortraitConfig) -> PortraitConfig:
    """Return the config of an exported folder: float32, no steps of the fit, no sampler."""
    defaults = config.defaults.model_copy(update={"fit_steps": 0})
    return config.model_copy(update={"bfloat16": False, "defaults": defaults, "has_sampler": False})
