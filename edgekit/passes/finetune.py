from typing import ClassVar, Literal
from edgekit.passes.base import PassConfig
class Finetune(PassConfig):
    trains: ClassVar[bool] = True
    kind: Literal["finetune"]="finetune"
