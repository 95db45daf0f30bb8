"""What a model and its answers are worth: judges, distortions, and the report that shows it all."""
