// Remarks on a photo that may help to get better pictures.

const FLAGS = {
  small: "The face is small in the photo, so fine features are guessed.",
  tilted: "The head is tilted.",
  turned: "The head is turned away; a frontal photo comes out better.",
  uncertain: "It is not certain that this is a face.",
};

export function remarks(sitter, index) {
  const lines = [], face = sitter.faces[index], fitted = sitter.fit.state === "ready";
  if (face.warning && fitted) {
    lines.push("The picture may not look enough like the person. " +
      "A sharper, more frontal, evenly lit photo helps, or less of the style's shapes.");
  }
  lines.push(...face.flags.filter((flag) => FLAGS[flag]).map((flag) => FLAGS[flag]));
  const left = sitter.left_out.length;
  if (left && fitted) {
    lines.push(`${left === 1 ? "One more face was" : `${left} more faces were`} ` +
      `left out: ${sitter.left_out.join("; ")}.`);
  }
  return lines.join(" ");
}
