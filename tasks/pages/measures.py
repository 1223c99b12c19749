"""What each figure of the evaluation means, in a sentence, and which line it stands beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.evaluation.kid import FEATURES
from tasks.pages.charts import number

Figures = Mapping[str, Interval]


@dataclass(frozen=True)
class Measure:
    """A figure, its name on the chart, its meaning, and its lines as (key, name)."""

    key: str
    short: str
    title: str
    meaning: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Headline:
    """A figure for the top of the page."""

    keys: tuple[str, ...]
    label: str
    show: Callable[[Figures], str]


def _percent(figures: Figures, key: str) -> str:
    return f"{100 * figures[key].value:.0f} %"


MEASURES = (
    Measure(
        "kid_results",
        "results",
        "Do the results look like the style set?",
        f"Kernel distance to the exemplars (KID's unbiased cubic kernel on {FEATURES}). Lower is "
        "better; untouched faces are the line to beat, one half of the exemplars against the "
        "other is the floor.",
        (("kid_faces_line", "untouched faces"), ("kid_halves_line", "exemplars, halves")),
    ),
    Measure(
        "identity_same",
        "same person",
        "Is it still the same person?",
        "Similarity of dlib's face descriptors of a result and of its own photo: 1 is equal, above "
        "0.5 dlib says the same person. The lines are the result against the other people, and "
        "different people's photos.",
        (("identity_impostor_line", "other people"), ("identity_people_line", "photo to photo")),
    ),
    Measure(
        "identity_recognised",
        "recognised",
        "Would one pick the right person?",
        "Fraction of results whose nearest photo, among all the held-out ones, is their own.",
        (),
    ),
    Measure(
        "identity_accepted",
        "accepted",
        "Would a door open?",
        "Fraction of results that dlib takes for the person of the photo, at its own limit. The "
        "line is how often it takes two different people for one.",
        (("identity_accepted_people_line", "different people"),),
    ),
    Measure(
        "style_nearer_than_mean",
        "own nearer",
        "Is it the exemplar that was asked for?",
        "Fraction of results closer to their own exemplar than to the average other one, by the "
        "spread of VGG16 features and of Lab colours, which no loss trains. Chance is a half.",
        (),
    ),
    Measure(
        "style_nearest",
        "own nearest",
        "Is it the nearest of all exemplars?",
        "Fraction of results whose own exemplar is the nearest of all by the same embedding.",
        (("style_nearest_chance_line", "chance"),),
    ),
    Measure(
        "style_distance",
        "own exemplar",
        "How close does it come?",
        "Distance in that embedding; about 1 between two exemplars. Lower is better.",
        (
            ("style_distance_other_line", "other exemplars"),
            ("style_distance_face_line", "untouched face"),
        ),
    ),
    Measure(
        "reconstruction_lpips",
        "G(z_i+, z_e+, 1)",
        "Can the model redraw its exemplars?",
        "LPIPS between an exemplar and the model's own rendering of it from its pair of codes. "
        "Lower is better; the line is the realistic face before the style.",
        (("reconstruction_intrinsic_line", "g(z_i+)"),),
    ),
    Measure(
        "diversity_lpips",
        "results",
        "Do different exemplars give different results?",
        "Mean LPIPS between the results of one face under two exemplars. The exemplars "
        "themselves, which differ in their faces too, are the line.",
        (("diversity_exemplars_line", "exemplars"),),
    ),
    Measure(
        "structure_moved",
        "own exemplar",
        "Do the shapes follow the exemplar?",
        "Share of the way that the face's landmarks went towards the exemplar's, without place, "
        "size, tilt and turn of the head: 0 is the face, 1 the exemplar. The line is the way "
        "towards the other exemplars, which a method that moves all faces alike goes just as far. "
        "Pictures on which the landmark model is lost are left out.",
        (("structure_moved_other_line", "other exemplars"),),
    ),
    Measure(
        "pose_change",
        "own photo",
        "Does the head stay as it was?",
        "Change of turn and nod of the head, by landmarks: 0 is kept, 1 what two different faces "
        "differ by. Lower is better; the line is the result against the other photos.",
        (("pose_impostor_line", "other photos"), ("pose_people_line", "photo to photo")),
    ),
    Measure(
        "expression_change",
        "own photo",
        "Does the expression stay?",
        "Change of mouth and eyes, by landmarks, less what the exemplar does to all faces alike: "
        "large eyes are its structure. 0 is kept, 1 what two different faces differ by.",
        (
            ("expression_impostor_line", "other photos"),
            ("expression_people_line", "photo to photo"),
        ),
    ),
    Measure(
        "artefact_rate",
        "results",
        "Is a face lost?",
        "Share of results in which the detector finds no face, or not where the landmark model "
        "does, or not where it has to be. Lower is better; drawn exemplars can defeat both, too. "
        "The last line is the share of results whose shapes could be measured.",
        (
            ("artefact_faces_line", "untouched faces"),
            ("artefact_exemplars_line", "exemplars"),
            ("structure_measured", "shapes measured"),
        ),
    ),
    Measure(
        "natural_kid",
        "g(z_i+)",
        "Is destylization realistic?",
        "Kernel distance of the faces behind the exemplars to faces of random codes. Lower is "
        "better; the exemplars themselves are the line to beat, one half of the random faces "
        "against the other is the floor.",
        (("natural_exemplars_line", "exemplars"), ("natural_halves_line", "faces, halves")),
    ),
    Measure(
        "large_lpips",
        "large, reduced",
        "Does the largest picture agree with the small one?",
        "LPIPS of the picture at full size, reduced, to the one rendered small. Lower is better; "
        "two results of one face in different styles are the line.",
        (("diversity_lpips", "style to style"),),
    ),
    Measure(
        "large_detail",
        "detail",
        "Is the largest picture sharp?",
        "What only the full size holds, as a share of what the generator's own full-size picture "
        "of the same face holds: 1 is as detailed as a photo.",
        (),
    ),
    *(
        Measure(
            f"enrolled_{key}",
            "added",
            title,
            f"{meaning} The line is the same of the exemplars of the training.",
            ((f"enrolled_{key}_trained_line", "trained"),),
        )
        for key, title, meaning in (
            (
                "style_nearest",
                "Is an exemplar added later the nearest of all?",
                "Exemplars that no training has seen were added to the finished model: fraction of "
                "results whose own exemplar is the nearest of all, the trained ones among them.",
            ),
            (
                "style_distance",
                "How close does an exemplar added later come?",
                "Style distance of results to their own, added exemplar. Lower is better.",
            ),
            (
                "reconstruction_lpips",
                "Can an exemplar added later be redrawn?",
                "LPIPS between an added exemplar and the model's rendering of it. Lower is better.",
            ),
            (
                "identity_same",
                "Is it still the same person, in a style added later?",
                "Similarity of dlib's descriptors of result and photo.",
            ),
        )
    ),
)

HEADLINES = (
    Headline(
        ("kid_ratio",),
        "of the untouched faces' kernel distance to the style set is left",
        lambda f: _percent(f, "kid_ratio"),
    ),
    Headline(
        ("identity_recognised",),
        "of results are recognised as their own person among all held-out faces",
        lambda f: _percent(f, "identity_recognised"),
    ),
    Headline(
        ("style_nearer_than_mean",),
        "of results are nearer to their own exemplar than to the average other",
        lambda f: _percent(f, "style_nearer_than_mean"),
    ),
    Headline(
        ("reconstruction_lpips",),
        "LPIPS between an exemplar and its redrawing by the model",
        lambda f: number(f["reconstruction_lpips"].value),
    ),
)
