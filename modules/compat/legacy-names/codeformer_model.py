"""A1111's `modules.codeformer_model`."""

from modules.compat.facade import compute
from modules.compat.faces import restorer

compute(__name__, {"codeformer": lambda: restorer("CodeFormer")})
