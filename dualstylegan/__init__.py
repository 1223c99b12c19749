"""DualStyleGAN: exemplar-based portrait style transfer as a library.

The method of Yang et al., "Pastiche Master" (CVPR 2022). This package holds the method alone: it
knows no orchestrator, no data versioning and no registry, and importing it loads no framework.
"""

__version__ = "0.1.0"
