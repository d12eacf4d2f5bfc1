"""What happened in a story, as the event inside a Cortex alert: processes, a connection, a name that was looked up."""

from datetime import datetime
from hashlib import sha256
from typing import Any

from nightdesk.sdk.testing import Device, StoryAlert

__all__ = ["digits", "event_payload", "millis"]


def millis(moment: datetime) -> int:
    """Cortex's times: milliseconds since 1970."""
    return int(moment.timestamp() * 1000)


def digits(seed: str, count: int) -> str:
    """Hex digits that belong to a name."""
    return sha256(seed.encode()).hexdigest()[:count]


def event_payload(alert: StoryAlert, alert_id: int, device: Device | None) -> dict[str, Any]:
    """The one event of an alert."""
    user = f"{alert.user_domain}\\{alert.user}" if alert.user_domain and alert.user else alert.user
    own = device.addresses[0] if device and device.addresses else None
    local, remote = alert.source_address or own, alert.destination_address or None
    if not remote and alert.source_address not in {"", own}:
        local, remote = own, alert.source_address
    return {
        "agent_install_type": "STANDARD" if device else "NA",
        "event_id": digits(f"event {alert_id}", 22),
        "event_type": "Process Execution" if alert.process else "Network Connections" if remote else "Login",
        "event_sub_type": None,
        "event_timestamp": millis(alert.at),
        "story_id": None,
        "module_id": None,
        "association_strength": 50,
        "dst_association_strength": None,
        "user_name": user or None,
        **_processes(alert, alert_id),
        "action_file_path": None,
        "action_file_name": None,
        "action_file_md5": None,
        "action_file_sha256": alert.convicted_sha256 or None,
        "action_registry_full_key": None,
        "action_local_ip": local if remote else None,
        "action_local_port": alert.source_port if remote else None,
        "action_remote_ip": remote,
        "action_remote_port": alert.destination_port,
        "action_country": "UNKNOWN",
        "action_external_hostname": None,
        "dns_query_name": alert.domain or None,
        "dst_agent_id": None,
        "fw_app_id": None,
        "fw_is_phishing": "N/A",
        "contains_featured_host": "NO",
        "contains_featured_user": "NO",
        "contains_featured_ip": "NO",
    }


def _processes(alert: StoryAlert, alert_id: int) -> dict[str, Any]:
    process = alert.process
    names = ("image_path", "image_name", "command_line", "image_sha256", "image_md5", "os_pid", "instance_id")
    actor: dict[str, Any] = {f"actor_process_{name}": None for name in names}
    shared = {
        "actor_process_signature_status": "N/A",
        "actor_process_signature_vendor": None,
        "actor_process_causality_id": digits(f"causality {alert_id}", 22) if process else None,
        "causality_actor_process_image_name": None,
        "causality_actor_process_command_line": None,
        "causality_actor_causality_id": digits(f"causality {alert_id}", 22) if process else None,
        "action_process_signature_status": "N/A",
        "action_process_signature_vendor": None,
    }
    child: dict[str, Any] = {
        "action_process_instance_id": None,
        "action_process_image_name": None,
        "action_process_image_path": None,
        "action_process_image_sha256": None,
        "action_process_image_command_line": None,
        "action_process_os_pid": None,
    }
    if process is None:
        return {**actor, **shared, **child}
    instance = digits(f"instance {alert_id}", 22)
    if not process.parent_name:
        actor = {
            "actor_process_image_path": process.path,
            "actor_process_image_name": process.name,
            "actor_process_command_line": process.command_line,
            "actor_process_image_sha256": process.sha256,
            "actor_process_image_md5": None,
            "actor_process_os_pid": process.pid,
            "actor_process_instance_id": instance,
        }
        return {**actor, **shared, **child}
    actor |= {
        "actor_process_image_name": process.parent_name,
        "actor_process_command_line": process.parent_command_line or None,
        "actor_process_instance_id": digits(f"parent {alert_id}", 22),
    }
    child = {
        "action_process_instance_id": instance,
        "action_process_image_name": process.name,
        "action_process_image_path": process.path,
        "action_process_image_sha256": process.sha256,
        "action_process_image_command_line": process.command_line,
        "action_process_os_pid": process.pid,
    }
    return {**actor, **shared, **child}
