"""Networks: StyleGAN2, MobileStyleGAN, the extrinsic path, encoders and feature extractors."""
