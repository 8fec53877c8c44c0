"""The one quantized program: ranges found once, Q/DQ nodes placed as each runtime fuses them."""
