"""The policy decision: (Principal, Target, Context, snapshot) to Allow or Deny, by Cedar.

Start at `engine.py` (one decision), then `entities.py` (what Cedar is told), `compilation.py` (what an
administrator's files must pass) and `index.py` (why a thousand policies cost like fifty).
"""

from nomoat.policy.compilation import compile_policies
from nomoat.policy.defaults import starter_policies
from nomoat.policy.engine import decide, decide_again
from nomoat.policy.plan import PolicyChange, plan
from nomoat.policy.snapshot import PolicySnapshot

__all__ = ["PolicyChange", "PolicySnapshot", "compile_policies", "decide", "decide_again", "plan", "starter_policies"]
