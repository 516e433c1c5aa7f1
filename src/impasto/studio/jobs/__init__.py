"""The jobs of the studio: requests, uploads, the store, results."""
