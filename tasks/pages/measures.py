"""Measures as the report shows them: titles, explanations and reference values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dualstylegan.evaluation.attributes import ATTRIBUTES
from dualstylegan.evaluation.bootstrap import Interval
from dualstylegan.evaluation.kid import FEATURES
from dualstylegan.networks.facenet import SAME_PERSON_COSINE
from tasks.pages.charts import number

Figures = Mapping[str, Interval]


@dataclass(frozen=True)
class Measure:
    """Measure with its explanation.

    Attributes:
        key: in metrics.json.
        short: label on the chart.
        title: heading.
        meaning: what is measured, and how to read it.
        lines: reference values as pairs of key and label.
    """

    key: str
    short: str
    title: str
    meaning: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Headline:
    """Figure at the top of the page.

    Attributes:
        keys: figures that must exist.
        label: text beneath the value.
        show: from figures to the formatted value.
    """

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
        "better. For reference: untouched faces, and the distance between two random halves of "
        "the exemplars, which is as low as it gets.",
        (("kid_faces_line", "untouched faces"), ("kid_halves_line", "exemplars, halves")),
    ),
    Measure(
        "identity_same",
        "own photo",
        "Is it still the same person?",
        "Cosine of FaceNet's descriptors of a result and of its own photo; no training uses "
        "FaceNet (research only, evaluation only). 1 is equal; different people are at about 0.05, "
        f"two photographs of one person above about {SAME_PERSON_COSINE:.2f}. For reference: "
        "results and other people's photos; photos of different people; the photo rendered from "
        "its code without a style, which a restyling can hardly exceed; and the photo painted in "
        "the style without a change of shape, which a perfect restyling could reach; and, where "
        "the process of the styles is known, the photo put through it.",
        (
            ("identity_impostor_line", "other people"),
            ("identity_people_line", "photo to photo"),
            ("identity_code_line", "g(code)"),
            ("identity_painted_line", "painted photo"),
            ("identity_ideal_line", "ideal result"),
        ),
    ),
    Measure(
        "identity_recognised",
        "recognised",
        "Can the person be picked out from all faces?",
        "Share of results whose most similar photo by FaceNet, among all held-out faces, is their "
        "own.",
        (),
    ),
    Measure(
        "pastiche_identity",
        "own ideal result",
        "Is it the person in the style, as the exemplar's process paints them?",
        "Cosine of FaceNet's descriptors of a result and of its ideal result: the photo, "
        "exaggerated and painted by the known process of the exemplar. Both are exaggerated and "
        "painted, so that neither counts against the likeness. For reference: two people's "
        "ideal results in one style, which the right person has to exceed, and g(code).",
        (
            ("pastiche_identity_other_line", "another person's"),
            ("pastiche_identity_code_line", "g(code)"),
        ),
    ),
    Measure(
        "pastiche_lpips",
        "own ideal result",
        "Does the result look like the ideal one?",
        "LPIPS between a result and its ideal result. Lower is better. For reference: two people's "
        "ideal results in one style; and g(code).",
        (
            ("pastiche_lpips_other_line", "another person's"),
            ("pastiche_lpips_code_line", "g(code)"),
        ),
    ),
    Measure(
        "pastiche_recognised",
        "recognised",
        "Can the person be picked out from all ideal results of the style?",
        "Share of results whose most similar ideal result by FaceNet, among those of all faces in "
        "the same style, is their own. For reference: g(code).",
        (("pastiche_recognised_code_line", "g(code)"),),
    ),
    Measure(
        "identity_accepted",
        "accepted",
        "Would face verification accept the result?",
        "Share of results that FaceNet takes for the person in the photo: cosine above "
        f"{SAME_PERSON_COSINE:.2f}. For reference: how often it takes two people for one.",
        (("identity_accepted_people_line", "different people"),),
    ),
    Measure(
        "identity_dlib",
        "own photo",
        "Does the network that training optimises agree?",
        "Similarity of dlib's face descriptors of a result and of its own photo. 1 is equal; "
        "above 0.5 dlib takes two photos for one person. Training optimises it: a high value "
        "beside a low one of FaceNet is overfitting. For reference: photos of different people.",
        (("identity_dlib_people_line", "photo to photo"),),
    ),
    Measure(
        "style_nearer_than_mean",
        "own nearer",
        "Is it the style of the chosen exemplar?",
        "Share of results that are closer to their own exemplar than to the average other one. The "
        "distance compares statistics of VGG16 features and of Lab colours, which no training loss "
        "uses. Chance is one half.",
        (),
    ),
    Measure(
        "style_nearest",
        "own nearest",
        "Is the chosen exemplar the nearest of all?",
        "Share of results whose own exemplar is the nearest of all, by the same distance.",
        (
            ("style_nearest_chance_line", "chance"),
            ("style_nearest_ideal_line", "ideal results"),
        ),
    ),
    Measure(
        "style_distance",
        "own exemplar",
        "How close are results to their exemplars?",
        "The same distance, scaled so that two exemplars are about 1 apart. Lower is better.",
        (
            ("style_distance_other_line", "other exemplars"),
            ("style_distance_face_line", "untouched face"),
            ("style_distance_ideal_line", "ideal results"),
        ),
    ),
    Measure(
        "reconstruction_lpips",
        "G(z_i+, z_e+, 1)",
        "Can the model redraw its exemplars?",
        "LPIPS between an exemplar and the model's rendering of it from its intrinsic and "
        "extrinsic codes. Lower is better. For reference: the realistic face before any style.",
        (("reconstruction_intrinsic_line", "g(z_i+)"),),
    ),
    Measure(
        "diversity_lpips",
        "results",
        "Do different exemplars give different results?",
        "Mean LPIPS between two results of one face in different styles. For reference: the two "
        "exemplars, which also differ in their faces.",
        (("diversity_exemplars_line", "exemplars"),),
    ),
    Measure(
        "structure_moved",
        "own exemplar",
        "Do the shapes follow the exemplar?",
        "How far the face's landmarks moved towards the exemplar's, without position, size, tilt "
        "and yaw of the head: 0 is the face, 1 the exemplar. For reference: movement towards the "
        "other exemplars, which is just as large for a method that changes all faces in the same "
        "way. Images in which no landmarks are found are left out.",
        (("structure_moved_other_line", "other exemplars"),),
    ),
    Measure(
        "pose_change",
        "own photo",
        "Does the head keep its pose?",
        "Change of yaw and pitch, by landmarks: 0 is unchanged, 1 the mean difference between two "
        "faces. Lower is better. For reference: results and other photos.",
        (("pose_impostor_line", "other photos"), ("pose_people_line", "photo to photo")),
    ),
    Measure(
        "expression_change",
        "own photo",
        "Does the face keep its expression?",
        "Change of mouth and eyes, by landmarks, without what an exemplar changes in all faces: "
        "large eyes, for instance, are part of its structure. 0 is unchanged, 1 the mean "
        "difference between two faces.",
        (
            ("expression_impostor_line", "other photos"),
            ("expression_people_line", "photo to photo"),
        ),
    ),
    *(
        Measure(
            f"attribute_{attribute.name}",
            "results",
            f"Does the {attribute.label} survive?",
            f"By landmarks and lightness: {attribute.meaning}. Correlation over the faces, within "
            "a style, of results and photos: 1 is kept, 0 is lost. For reference: the photo as its "
            "code renders it, which a restyling can hardly exceed; ideal results, which tell what "
            "painting itself takes; and, for attributes of colour, results in the photo's colours.",
            (
                (f"attribute_{attribute.name}_code_line", "g(code)"),
                (f"attribute_{attribute.name}_ideal_line", "ideal results"),
                (f"attribute_{attribute.name}_own_color", "colour weight 0"),
            ),
        )
        for attribute in ATTRIBUTES
    ),
    Measure(
        "artefact_rate",
        "results",
        "Does every result show a face?",
        "Share of results without a plausible face: the detector finds none, or the landmark model "
        "disagrees with it, or the face is not where it should be. Lower is better; drawn "
        "exemplars can fail this test, too. The last line is the share of results whose shapes "
        "could be measured.",
        (
            ("artefact_faces_line", "untouched faces"),
            ("artefact_exemplars_line", "exemplars"),
            ("structure_measured", "shapes measured"),
        ),
    ),
    Measure(
        "natural_kid",
        "g(z_i+)",
        "Does destylization give realistic faces?",
        "Kernel distance between the destylized exemplars and faces of random codes. Lower is "
        "better. For reference: the exemplars themselves, and the distance between two random "
        "halves of the random faces, which is as low as it gets.",
        (("natural_exemplars_line", "exemplars"), ("natural_halves_line", "faces, halves")),
    ),
    Measure(
        "large_lpips",
        "large, reduced",
        "Do large and small renderings agree?",
        "LPIPS between the full-size image, reduced, and the one rendered small. Lower is better. "
        "For reference: two results of one face in different styles.",
        (("diversity_lpips", "style to style"),),
    ),
    Measure(
        "large_mesh",
        "results",
        "Is the full-size image free of a mesh?",
        "Power of patterns that repeat every 2, 4 or 8 pixels over most of the image, above that "
        "of their surroundings in the spectrum, in dB: a generator's upsampling can leave them. "
        "0 is none.",
        (
            ("large_mesh_face_line", "untouched face"),
            ("large_mesh_exemplar_line", "exemplars"),
        ),
    ),
    Measure(
        "large_texture",
        "results",
        "Is the full-size image painted as finely as its exemplar?",
        "Difference of the fine detail's power, by half octaves, from the exemplar's at the "
        "resolution of its own file, plus the mesh, in dB. Too smooth and too rough count alike. "
        "Lower is better. For reference: the face before any style, and the small result enlarged.",
        (
            ("large_texture_face_line", "untouched face"),
            ("large_texture_small_line", "small, enlarged"),
        ),
    ),
    Measure(
        "texture",
        "results",
        "Is the small image painted as finely as its exemplar?",
        "The same for small results: the detail that they show beyond the size at which images "
        "are compared otherwise.",
        (),
    ),
    *(
        Measure(
            f"enrolled_{key}",
            "added",
            title,
            f"{meaning} For reference: the exemplars of the training.",
            ((f"enrolled_{key}_trained_line", "trained"),),
        )
        for key, title, meaning in (
            (
                "style_nearest",
                "Is an exemplar added later the nearest of all?",
                "Exemplars that no training has seen were added to the finished model. Share of "
                "results whose own exemplar is the nearest of all, including the trained ones.",
            ),
            (
                "style_distance",
                "How close are results to an exemplar added later?",
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
                "Cosine of FaceNet's descriptors of a result and of its own photo.",
            ),
        )
    ),
)

HEADLINES = (
    Headline(
        ("kid_ratio",),
        "of the kernel distance between faces and style set remains in the results",
        lambda f: _percent(f, "kid_ratio"),
    ),
    Headline(
        ("identity_recognised",),
        "of results are recognised by FaceNet as the right person among all held-out faces",
        lambda f: _percent(f, "identity_recognised"),
    ),
    Headline(
        ("style_nearer_than_mean",),
        "of results are closer to their own exemplar than to the average other",
        lambda f: _percent(f, "style_nearer_than_mean"),
    ),
    Headline(
        ("reconstruction_lpips",),
        "LPIPS between an exemplar and the model's rendering of it",
        lambda f: number(f["reconstruction_lpips"].value),
    ),
)
