"""Studio: a portrait model, a worker, and what the visitors have brought.

The methods of `Studio` are called in the server's event loop; what computes runs in the worker's
thread, what reads or writes image files in threads of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from typing import IO, TYPE_CHECKING, TypeVar

from PIL import Image

from dualstylegan.errors import (
    BusyError,
    ClosingError,
    DualStyleGANError,
    FaceError,
    RequestError,
    SettingsError,
)
from dualstylegan.io.photo_room import PhotoRoom
from dualstylegan.portrait.add_style import AddStyleSettings, add_style, with_style
from dualstylegan.portrait.config import SIZE_LIMITS, check_new_name
from dualstylegan.portrait.options import ReadOptions, RestyleOptions
from dualstylegan.portrait.reading import CutPhoto, cut_faces, read_cut
from dualstylegan.portrait.result import encode_result
from dualstylegan.portrait.style_choice import choose_style
from dualstylegan.studio.export import pack_model
from dualstylegan.studio.mixes import Mix, read_mix
from dualstylegan.studio.schemas import MAX_MIX, FrameQuery, PictureQuery
from dualstylegan.studio.visits import (
    LIVE_IDLE_SECONDS,
    MAX_LIVE,
    LiveFace,
    OwnStyle,
    Progress,
    Room,
    Shelf,
    Sitting,
    State,
    draft_of,
)
from dualstylegan.studio.worker import StoppedError, Urgency, Worker
from dualstylegan.video.performing import Performer, crop_facts, restyle_performed

if TYPE_CHECKING:
    from dualstylegan.faces.align import AlignedFace
    from dualstylegan.portrait.model import PortraitModel
    from dualstylegan.portrait.sitter import Sitter
    from dualstylegan.video.performance import Performance

logger = logging.getLogger(__name__)
T = TypeVar("T")
MAX_FACES = 6
# Bytes of uploads until they are read; by bytes, so that slow ones hold up no others.
MAX_UPLOADING = 400 << 20
# A first picture is asked for within this time of the answer to an upload.
FIRST_SECONDS = 0.25
MAX_NAME = 60
# Largest face crop of a photo that is shown beside a result.
SHOWN_PX = 768


class Studio:
    """A portrait model that several visitors use at a time.

    Args:
        model: the model.
        adding: settings of the optimisation of added styles; None: the defaults.
    """

    def __init__(self, model: PortraitModel, adding: AddStyleSettings | None = None) -> None:
        self.model = model
        self.adding = adding or AddStyleSettings()
        self.worker = Worker()
        self.sittings: Shelf[Sitting] = Shelf("sitter", "send the photo again", _leave_sitting)
        self.styles: Shelf[OwnStyle] = Shelf("style", "add the style again", self._leave_style)
        self.live: Shelf[LiveFace] = Shelf(
            "live face", "begin anew", _leave_live, idle_seconds=LIVE_IDLE_SECONDS
        )
        self.uploads = Room(MAX_UPLOADING)
        # whole photos: 64 megapixels take 256 MB
        self._photos = PhotoRoom()
        # one model is packed at a time, which takes as much on the disk as the model twice
        self._packing = asyncio.Lock()
        self._extended: dict[tuple[str, ...], PortraitModel] = {}

    async def read(self, data: bytes) -> str:
        """Read a photo's largest face by the encoder, queue the rest, return its identifier.

        Raises:
            ImageError: not an image that can be read.
            FaceError: no usable face.
            BusyError: too much work is waiting.
        """
        async with self._photos.decoded_aside(data) as photo:
            draft, (cut, first) = await asyncio.gather(
                asyncio.to_thread(draft_of, photo),
                self._work(partial(self._read, photo), Urgency.READING),
            )
        sitting = Sitting(data, draft, cut, first)
        name = self.sittings.put(sitting)
        # in the meantime the visitor asks for a first picture
        fit = partial(self._fit, sitting)
        asyncio.get_running_loop().call_later(FIRST_SECONDS, self._start_fit, fit, sitting.fit)
        return name

    async def picture(self, name: str, query: PictureQuery) -> bytes:
        """Restyle a photo that was read; return the file.

        Raises:
            UnknownItemError: no such sitter, or no such style.
            SettingsError: a value out of its bounds.
            SupersededError: a newer request of the same view came first.
        """
        sitting = self.sittings.get(name)
        mix = read_mix(query.style, self.styles)
        view = (name, query.view) if query.view else None

        async def shown(photo: Image.Image | None) -> bytes:
            work = partial(self._restyle, sitting, mix, query, photo)
            result = await self._work(work, Urgency.PICTURE, view)
            return await asyncio.to_thread(encode_result, result, f".{query.format}")

        if not query.whole:
            return await shown(None)
        if query.draft:
            return await shown(sitting.draft)
        # held until its result is encoded, which is as large
        async with self._photos.decoded_aside(sitting.data) as photo:
            return await shown(photo)

    def go_live(self) -> str:
        """Begin to follow a face before a camera; return its identifier.

        Raises:
            BusyError: as many faces are followed as the worker can serve.
            WeightsError: the face models are missing.
        """
        self.live.expire()
        if len(self.live) >= MAX_LIVE:
            raise BusyError(
                "too many cameras are live", limit=MAX_LIVE, fix="try again when one has stopped"
            )
        return self.live.put(LiveFace(Performer(self.model, fit_steps=0)))

    async def frame(self, name: str, data: bytes, query: FrameQuery) -> bytes | None:
        """Restyle the face in the next frame of a camera; return the file; None: no face.

        Raises:
            UnknownItemError: no such live face.
            ImageError: not an image that can be read.
            SettingsError: an unknown style, or a value out of its bounds.
            SupersededError: the next frame came first.
        """
        live, seconds = self.live.get(name), time.monotonic()
        mix = read_mix(query.style, self.styles)
        options = RestyleOptions(
            query.structure, query.color, None, query.preserve_color, size=query.size
        )
        async with self._photos.decoded_aside(data) as photo:
            image = await asyncio.to_thread(draft_of, photo)
        del photo

        def work() -> Image.Image | None:
            model = self._with_styles(mix.own)
            style = choose_style(model, mix.named, None, options)
            face = live.performer.follow(image, seconds)
            if face is None:
                return None
            if live.shown is None or live.shown.performance is not face.performance:
                live.fit.left = True
                live.fit = Progress()
                self._start_fit(partial(self._fit_live, face.performance, live.fit), live.fit)
            live.shown = face
            result = restyle_performed(model, face, style, options)
            result.info.update(crop_facts(model, style, options))
            return result

        result = await self._work(work, Urgency.READING, (name, "frame"))
        if result is None:
            return None
        return await asyncio.to_thread(encode_result, result, f".{query.format}")

    async def photo(self, name: str, face: int | None) -> bytes:
        """Return the photo that was sent as JPEG, reduced; or the crop of a face."""
        sitting = self.sittings.get(name)

        def encode() -> bytes:
            from dualstylegan.faces.geometry import crop_quad, quad_side

            shown = sitting.draft
            if face is not None:
                quad_Q2 = sitting.draft_sitter().face(face).quad_Q2
                assert quad_Q2 is not None
                side = min(SHOWN_PX, max(256, round(quad_side(quad_Q2))))
                shown = crop_quad(shown, quad_Q2, side)
            return encode_result(shown, ".jpg")

        return await asyncio.to_thread(encode)

    async def add(self, name: str, data: bytes) -> str:
        """Queue the addition of a portrait as a style; return its identifier.

        Raises:
            SettingsError: the name is blank, too long or taken.
            ImageError: not an image that can be read.
            FaceError: no usable face.
        """
        if len(name) > MAX_NAME:
            raise SettingsError(
                "the style's name is too long",
                value=len(name),
                limit=f"{MAX_NAME} characters",
                fix="give a shorter name",
            )
        check_new_name(self.model.config, name)
        async with self._photos.decoded_aside(data) as photo:
            face = await self._work(partial(self.model.align, photo), Urgency.READING)
        style = OwnStyle(name)
        self._start(partial(self._optimise, style, face), style.progress, Urgency.LEARNING)
        return self.styles.put(style)

    async def export(self, name: str) -> tuple[str, IO[bytes]]:
        """Return a name, and the model's folder with a visitor's style as a ZIP file.

        Raises:
            UnknownItemError: no such style.
            RequestError: the style is not ready yet.
            OutputError: no space to pack it.
        """
        model = self._with_styles({name: self.styles.get(name)})
        folder = model.styles.names[-1]
        async with self._packing:
            return folder, await asyncio.to_thread(pack_model, model, folder)

    def warm_up(self) -> None:
        """Queue the loading of all networks, so that the first visitor need not wait for it."""
        self.worker.submit(self._load, Urgency.FITTING)

    def close(self) -> None:
        """End the worker."""
        self.worker.stop()

    def _load(self) -> None:
        """Run every network once: they are loaded, and their kernels chosen, on first use."""
        blank = Image.new("RGB", (256, 256))
        code_LD = self.model.fit(blank, 0).code_LD
        self.model.digest  # noqa: B018
        for size in (SIZE_LIMITS[0], max(self.model.generator.output_sizes)):
            self.model.render(code_LD[None], code_LD[None], size=size)
        with contextlib.suppress(FaceError):
            self.model.align(blank)

    async def _work(self, work: Callable[[], T], urgency: Urgency, view: Hashable = None) -> T:
        return await asyncio.wrap_future(self.worker.submit(work, urgency, view))

    def _start_fit(self, fit: Callable[[], None], progress: Progress) -> None:
        try:
            self._start(fit, progress, Urgency.FITTING)
        except BusyError as error:
            progress.error, progress.state = error, State.FAILED

    def _start(self, work: Callable[[], None], progress: Progress, urgency: Urgency) -> None:
        """Queue long work that reports to a progress."""

        def run() -> None:
            if progress.left:
                return
            progress.state = State.WORKING
            try:
                work()
            except StoppedError:
                progress.state = State.FAILED
            except DualStyleGANError as error:
                progress.error, progress.state = error, State.FAILED
            except BaseException:
                progress.error = RequestError(
                    "the computation failed; the server's log has the cause", fix="try again"
                )
                progress.state = State.FAILED
                raise
            else:
                progress.state = State.READY

        self.worker.submit(run, urgency).add_done_callback(_log)

    def _tick(self, progress: Progress, urgency: Urgency, done: int, total: int) -> None:
        """Note steps done, and let urgent work go first."""
        progress.done, progress.total = done, total
        if progress.left:
            raise StoppedError
        self.worker.relieve(urgency)

    def _read(self, photo: Image.Image) -> tuple[CutPhoto, Sitter]:
        """Cut out the faces of a photo; read the largest alone, so that a picture is there soon."""
        cut = cut_faces(self.model, photo, ReadOptions(MAX_FACES))
        # not by `PortraitModel.read`, which warns: the answer holds the warnings
        return cut, read_cut(self.model, cut.largest(), 0, None)

    def _fit(self, sitting: Sitting) -> None:
        """Read all faces of a photo, by the encoder where there are several, then by the fit."""
        steps = self.model.fit_settings().steps
        if sitting.sitter.left_out or steps == 0:
            sitting.renew(read_cut(self.model, sitting.cut, 0, None))
        if steps > 0:
            ticks = partial(self._tick, sitting.fit, Urgency.FITTING)
            sitting.renew(read_cut(self.model, sitting.cut, None, ticks))

    def _restyle(
        self, sitting: Sitting, mix: Mix, query: PictureQuery, photo: Image.Image | None
    ) -> Image.Image:
        model = self._with_styles(mix.own)
        sitter = sitting.sitter if photo is not sitting.draft else sitting.draft_sitter()
        return model.restyle(
            sitter,
            mix.named,
            structure=query.structure,
            color=query.color,
            preserve_color=query.preserve_color,
            size=query.size,
            face=query.face,
            paste=photo is not None,
            photo=photo,
        )

    def _fit_live(self, performance: Performance, progress: Progress) -> None:
        """Fit the first frame of a face before a camera, while the next ones are shown."""
        steps = self.model.fit_settings().steps
        if steps > 0:
            tick = partial(self._tick, progress, Urgency.FITTING)
            performance.refit(progress=lambda done: tick(done, steps))

    def _optimise(self, style: OwnStyle, face: AlignedFace) -> None:
        """Find the codes of a portrait."""
        progress = style.progress
        added = add_style(
            self.model,
            style.name,
            face.image,
            align=False,
            frame=face.frame,
            settings=self.adding,
            progress=lambda phase, done, total: self._tick(progress, Urgency.LEARNING, done, total),
        ).model
        style.extrinsic_1LD = added.styles.extrinsic_SLD[-1:]
        style.intrinsic_1LD = added.styles.intrinsic_SLD[-1:]
        style.thumbnail = added.thumbnails[added.styles.names[-1]]

    def _with_styles(self, own: dict[str, OwnStyle]) -> PortraitModel:
        """Return the model with some visitors' styles, one of the last few or a new one."""
        key = tuple(own)
        if not key:
            return self.model
        if key not in self._extended:
            model = self.model
            for style in own.values():
                if style.extrinsic_1LD is None or style.intrinsic_1LD is None:
                    raise RequestError("the style is not ready yet", fix="wait until it is")
                check_new_name(model.config, style.name)
                blank = Image.new("RGB", (8, 8))
                model = with_style(
                    model, style.name, style.extrinsic_1LD, style.intrinsic_1LD, blank
                )
                model.thumbnails[model.styles.names[-1]] = style.thumbnail
            while len(self._extended) >= MAX_MIX:
                del self._extended[next(iter(self._extended))]
            self._extended[key] = model
        return self._extended[key]

    def _leave_style(self, name: str, style: OwnStyle) -> None:
        style.progress.left = True
        self._extended = {key: model for key, model in self._extended.items() if name not in key}


def _leave_sitting(name: str, sitting: Sitting) -> None:
    sitting.fit.left = True


def _leave_live(name: str, live: LiveFace) -> None:
    live.fit.left = True


def _log(done: Future[None]) -> None:
    """Tell the server's log why long work failed; visitors get the typed errors by themselves."""
    error = None if done.cancelled() else done.exception()
    if error is not None and not isinstance(error, ClosingError):
        logger.error("work of the studio failed", exc_info=error)
