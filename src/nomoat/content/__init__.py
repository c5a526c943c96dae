"""What prompts and answers say, as far as a machine can tell: inspectors, which find and label, and never decide.

Rules: everything that is a text in a request is looked at, wherever its protocol has it. What was found is a `Content`;
what becomes of it is for policies to say.
"""

from nomoat.content.answers import AnswerReader
from nomoat.content.inspector import Detector, Inspector, Seen, Trace
from nomoat.content.texts import redacted, texts_of, units_of

__all__ = ["AnswerReader", "Detector", "Inspector", "Seen", "Trace", "redacted", "texts_of", "units_of"]
