"""The vendor names that no playbook may hold (law 9), from what is installed."""

from nightdesk.hub.registry import Registry

__all__ = ["vendor_names"]


def vendor_names(registry: Registry) -> frozenset[str]:
    """Slugs, titles and companies of every connector that talks to somebody's product.

    What only takes what is sent to it (a webhook, log files) is named after a technique, not a vendor.
    """
    found: set[str] = set()
    for slug, manifest in registry.manifests.items():
        if manifest.kind == "edr" or manifest.acts or manifest.remote:
            found |= {slug, manifest.title, manifest.company}
    return frozenset(word for word in found if len(word) > 2)
