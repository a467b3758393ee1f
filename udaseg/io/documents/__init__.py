"""The files of a run: a pydantic model for each kind of JSON file, a table for each of the others.

The stages read and write through the models, and docs/contract.md is made from models and tables.
"""
