"""What every other package stands on; imports neither torch nor MLflow."""
