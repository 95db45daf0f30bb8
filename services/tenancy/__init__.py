"""Tenants: every name that crosses this line is the caller's own.

    caller of acme:   photos  ──▶  acme/photos  ──▶  engine        (and back)
    caller of none:   photos  ──▶  photos

The engine holds the names of all tenants; what a caller names is looked for among the caller's
only, so that another's and an absent one are answered alike. Models, aliases, streams, jobs and
request ids are kept apart in this way, and a job runs with its tenant's names only. What comes back
(records, events, errors) is told in the names of the caller. Content is kept for each stream on its
own, so that nothing of what one tenant sends depends on what another has sent.
"""

from services.tenancy.answers import TenantAnswers as TenantAnswers
from services.tenancy.jobs import TenantJobs as TenantJobs
from services.tenancy.models import TenantModels as TenantModels
from services.tenancy.streams import TenantStreams as TenantStreams
