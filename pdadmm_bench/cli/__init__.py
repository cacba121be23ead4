"""The command line: one file per verb; torch and MLflow are imported inside the verb."""
