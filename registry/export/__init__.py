"""Versions as folders that other programs open: Hugging Face's, MLflow's, KServe's."""
