"""Open findings: what is known to fail, and why. A row here is never counted as passed, and one that fails no more must go.

Each is a text that its failures hold, all of the words, and what is wrong.
"""

OPEN = []


def split(failures):
    """Failures under their finding, the others, and findings that nothing shows any more."""
    known, others = {}, []
    for line in failures:
        for words, what in OPEN:
            if all(word in line for word in words):
                known.setdefault(what, []).append(line)
                break
        else:
            others.append(line)
    return known, others, [what for _, what in OPEN if what not in known]
