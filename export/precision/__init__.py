"""The precisions of a model file (fp16, mixed, int8, ...): what each rounds, and how."""
