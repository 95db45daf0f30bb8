"""Who asks, what they may do, and whose names they see."""

from services.auth.callers import ANYONE as ANYONE
from services.auth.callers import Caller as Caller
from services.auth.callers import asks as asks
from services.auth.callers import caller as caller
from services.auth.config import AuthConfig as AuthConfig
from services.auth.config import Certificate as Certificate
from services.auth.config import Token as Token
from services.auth.guard import Guard as Guard
from services.auth.guard import Register as Register
from services.auth.rules import RULES as RULES
from services.auth.rules import SCOPES as SCOPES
from services.auth.rules import Rule as Rule
from services.auth.rules import Scope as Scope
from services.auth.tokens import digest as digest
from services.auth.tokens import new_token as new_token
