"""Traces as a person sees them: in the terminal and in the notebook."""
