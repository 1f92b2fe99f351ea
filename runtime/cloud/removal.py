"""Removes what a killed bake or trial stack left, in an order that EC2 allows."""

from __future__ import annotations

from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from runtime import wait
from runtime.cloud.leftovers import Kind, Leftover, find_of_bakes, in_order
from runtime.cloud.target import Target
from runtime.errors import BullionError

SETTLE_S = 900  # an AMI that is being made, an interface that is being detached
_CALLS = {
    Kind.ADDRESS: ("release_address", "AllocationId"),
    Kind.INTERFACE: ("delete_network_interface", "NetworkInterfaceId"),
    Kind.AMI: ("deregister_image", "ImageId"),
    Kind.SNAPSHOT: ("delete_snapshot", "SnapshotId"),
    Kind.VOLUME: ("delete_volume", "VolumeId"),
    Kind.GROUP: ("delete_security_group", "GroupId"),
    Kind.SUBNET: ("delete_subnet", "SubnetId"),
    Kind.ROUTE_TABLE: ("delete_route_table", "RouteTableId"),
    Kind.GATEWAY: ("delete_internet_gateway", "InternetGatewayId"),
    Kind.VPC: ("delete_vpc", "VpcId"),
    Kind.KEY_PAIR: ("delete_key_pair", "KeyName"),
}
_SETTLING = {  # the call that tells a state, its parameter, the state's name
    Kind.INTERFACE: ("describe_network_interfaces", "NetworkInterfaceIds", "Status"),
    Kind.AMI: ("describe_images", "ImageIds", "State"),
    Kind.VOLUME: ("describe_volumes", "VolumeIds", "State"),
}


def remove(target: Target, leftovers: Sequence[Leftover]) -> list[str]:
    """Remove `leftovers`, and return a line for each that could not be; others are gone on with."""
    failed: list[str] = []
    instances = [one.id for one in leftovers if one.kind is Kind.INSTANCE]
    try:
        if instances:
            target.ec2.terminate_instances(InstanceIds=instances)
            target.ec2.get_waiter("instance_terminated").wait(
                InstanceIds=instances, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
            )
    except (BotoCoreError, ClientError, WaiterError) as error:
        failed.append(f"instances {', '.join(instances)}: {error}")
    for group in [one.id for one in leftovers if one.kind is Kind.GROUP]:
        _let_go_of_others(target, group)
    for one in in_order(leftovers):
        if one.kind is Kind.INSTANCE:
            continue
        try:
            _remove(target, one)
        except ClientError as error:
            if not _is_gone(error):
                failed.append(f"{one}: {error}")
        except (BotoCoreError, BullionError) as error:
            failed.append(f"{one}: {error}")
    return failed


def remove_run(target: Target, run: str) -> list[str]:
    """Remove what one bake left; return a line for each thing, with what could not be removed."""
    found = find_of_bakes(target, run)
    failed = remove(target, found)
    return [str(one) for one in found] + [f"not removed: {line}" for line in failed]


def _remove(target: Target, one: Leftover) -> None:
    if one.kind in _SETTLING:
        _await_settled(target, one)
    elif one.kind is Kind.ADDRESS:  # EC2 releases none that is associated; moto does
        reply = target.ec2.describe_addresses(AllocationIds=[one.id])
        for tie in (address.get("AssociationId") for address in reply["Addresses"]):
            if tie:
                target.ec2.disassociate_address(AssociationId=tie)
    elif one.kind is Kind.GATEWAY:
        reply = target.ec2.describe_internet_gateways(InternetGatewayIds=[one.id])
        for attached in reply["InternetGateways"][0].get("Attachments", ()):
            target.ec2.detach_internet_gateway(InternetGatewayId=one.id, VpcId=attached["VpcId"])
    elif one.kind is Kind.ROUTE_TABLE:  # moto keeps what tied it to a subnet that is gone
        reply = target.ec2.describe_route_tables(RouteTableIds=[one.id])
        for tie in reply["RouteTables"][0].get("Associations", ()):
            if not tie.get("Main"):
                target.ec2.disassociate_route_table(AssociationId=tie["RouteTableAssociationId"])
    action, parameter = _CALLS[one.kind]
    getattr(target.ec2, action)(**{parameter: one.id})


def _await_settled(target: Target, one: Leftover) -> None:
    """Wait until EC2 has done with a thing what it was doing when its owner was killed."""
    action, ids, state = _SETTLING[one.kind]
    last = [""]

    def is_settled() -> bool:
        answer = getattr(target.ec2, action)(**{ids: [one.id]})
        items = next(value for value in answer.values() if isinstance(value, list))
        last[0] = items[0].get(state, "") if items else "gone"
        return last[0] not in {"pending", "in-use", "creating", "deleting"}

    wait.until(
        is_settled,
        what=f"{one} to be removable",
        timeout_s=SETTLE_S,
        every_s=0.5,
        last=lambda: last[0],
        hint="./invoke janitor again",
    )


def _let_go_of_others(target: Target, group: str) -> None:
    """Take a group's rules away, which may name other groups that so could not go."""
    try:
        found = target.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        for rules in (one.get("IpPermissions") for one in found):
            if rules:
                target.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=rules)
        for rules in (one.get("IpPermissionsEgress") for one in found):
            if rules:
                target.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=rules)
    except (BotoCoreError, ClientError):
        return  # the group's own removal will say what is wrong


def _is_gone(error: ClientError) -> bool:
    code = str(error.response["Error"]["Code"])
    return code.endswith((".NotFound", ".Unknown", ".Unavailable"))
