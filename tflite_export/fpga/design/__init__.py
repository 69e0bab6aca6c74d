"""The search for the best design of an accelerator."""
