"""The evaluation of tensile tests against closed forms, published figures and slow references."""
