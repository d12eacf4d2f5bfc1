"""AWS over its own SDK: GuardDuty and Security Hub findings, EC2, IAM, network ACL and WAF actions."""

from nightdesk.connectors.aws.connector import Connector

__all__ = ["Connector"]
