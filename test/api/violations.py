"""The structure that the detail of a 422 renders (api-contract 4.3): Python literals, with null, true and false of JSON inside messages never."""
import ast


def violations(document):
    """The structure, or a text that says why there is none."""
    if not isinstance(document, dict) or not isinstance(document.get("detail"), str):
        return f"no detail in {document!r}"
    try:
        return ast.literal_eval(document["detail"])
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        return f"not a rendering of violations ({error}): {document['detail']!r}"
