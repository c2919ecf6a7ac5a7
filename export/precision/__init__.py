"""The precisions of a model file: what each rounds, and how."""
