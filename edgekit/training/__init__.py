"""How networks are trained: one loop, and the parts that finetuning, distillation, recovery and QAT share."""
