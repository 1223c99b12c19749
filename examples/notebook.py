# %% [markdown]
# # Restyle, look, compare
#
# A notebook in the percent format: VS Code, PyCharm, Spyder and, with jupytext, Jupyter open it
# as cells, and `python examples/notebook.py MODEL PHOTO` runs it from top to bottom. A cell shows
# the value of its last line.

# %%
import sys
from pathlib import Path

from dualstylegan import PortraitModel
from dualstylegan.io.images import image_to_tensor, make_grid, read_image, tensor_to_image
from dualstylegan.portrait.result import encode_result, facts_of

# in a notebook the arguments are the kernel's: put the paths here
FOLDER, PHOTO = (
    sys.argv[1:3] if len(sys.argv) == 3 else ("data/sets/demo/models/portrait", "photo.jpg")
)
model = PortraitModel.from_pretrained(FOLDER)
photo = read_image(PHOTO)
", ".join(model.styles.names)

# %% [markdown]
# ## Read the photo once
#
# The face is found and cropped, the encoder gives a code, and a few steps bring g of the code
# closer to the face. The likeness says how much of the person is left before any style: 1 would
# be the same face.

# %%
sitter = model.read(photo)
fit = sitter.faces[0].fit
face = model.align(photo).image
code = tensor_to_image(model.render(fit.code_LD[None], None)[0])
make_grid(
    [face.resize(code.size), code], 2, ["photo", f"g(code), likeness {fit.likeness or 0:.2f}"]
)

# %% [markdown]
# ## Every style
#
# A restyling takes a moment, since the reading is done.

# %%
names = model.styles.names[:8]
make_grid([model.restyle(sitter, name) for name in names], 4, names)

# %% [markdown]
# ## From the face to its caricature
#
# The weight of the structure rows leads from the face's own shapes to the exemplar's.

# %%
weights = (0.0, 0.25, 0.5, 0.75, 1.0)
sweep = [model.restyle(sitter, names[0], structure=weight) for weight in weights]
make_grid(sweep, len(weights), [f"structure {weight:g}" for weight in weights])

# %% [markdown]
# ## How far each result is from the face
#
# LPIPS at 128 pixels, the perceptual distance that the fit optimises, too.

# %%
lpips = model.lpips()
features = [lpips.features(image_to_tensor(image, 128)[None]) for image in (face, *sweep)]
distances = [float(lpips.distance(features[0], other)) for other in features[1:]]
for weight, distance in zip(weights, distances, strict=True):
    print(f"structure {weight:.2f}  LPIPS {distance:.3f}")

# %% [markdown]
# ## Mixed, and with its recipe
#
# Every result knows how it was made. `encode_result` keeps that in the file, as the command does;
# Pillow's own `save` would leave it out.

# %%
mixed = model.restyle(sitter, {names[0]: 0.6, names[1]: 0.4})
Path("mixed.png").write_bytes(encode_result(mixed))
facts_of(mixed)
