"""The studio: a page and an HTTP API for painting, and a worker process that paints.

server → web | worker | supervisor → jobs. Server and worker communicate only through the store.
"""
