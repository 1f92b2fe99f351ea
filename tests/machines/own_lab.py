"""A lab of its own for tests that kill, stop or reset one."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from runtime import proc, wait
from runtime import settings as configuration
from runtime.cloud import ssh
from runtime.cloud.machines import Machine
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.lab import control, leftovers, slots
from runtime.lab.machines.blocks import FOLDER, Blocks
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.labels import LABEL
from runtime.lab.machines.sources import SOURCE_OWNER

BOOT_ID = "cat /proc/sys/kernel/random/boot_id; cut -d' ' -f22 /proc/1/stat"


class Lab:
    """A lab with machines from the source AMI, and nothing that a killed test left in it."""

    target: Target

    def __init__(self, name: str) -> None:
        env = {key: value for key, value in os.environ.items() if key != "BULLION_LAB_PORT"}
        self.settings = configuration.load("lab", env=env | {"BULLION_LAB": name})
        self.hypervisor = Hypervisor(connect(), self.settings.lab_id)
        control.reset(self.settings, yes=True)
        self.up()

    def verb(self, *words: str) -> str:
        """Run a verb as a person types it; return what it says to them."""
        argv = [sys.executable, "-m", "invoke", *words]
        env = self.settings.passed_on() | {"BULLION_LAB": self.settings.lab_name}
        return proc.run(argv, timeout_s=600, cwd=self.settings.root, env=env).stderr

    def up(self) -> str:
        said = self.verb("lab.up")
        self.target = control.target(self.settings)
        return said

    def kill(self) -> None:
        """End the lab's process as a crash does."""
        pid = int((self.settings.lab_dir / "lab.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait.until(lambda: not control.is_up(self.settings), what="the end", timeout_s=10)

    def kill_containers(self) -> None:
        """End all containers at once, as a restart of the computer does."""
        for container in self.containers():
            if container.status == "running":
                container.kill()

    def containers(self) -> list[Any]:
        mine = {"label": f"{LABEL}={self.settings.lab_id}"}
        return list(self.hypervisor.docker.containers.list(all=True, filters=mine))

    def container(self, machine: Machine, suffix: str = "") -> Any:
        return self.hypervisor.docker.containers.get(self.hypervisor.name(machine.id) + suffix)

    def pieces(self) -> list[str]:
        blocks = Blocks(
            self.hypervisor.docker, self.settings.lab_id, self.settings.lab_dir / FOLDER
        )
        found = [*leftovers.find_volumes(blocks), *leftovers.find(self.hypervisor)]
        return [piece.line for piece in found]

    def launch(self, name: str, ami_id: str = "") -> Machine:
        ec2 = self.target.ec2
        subnet = slots.read(self.settings.lab_dir).build
        found = ec2.describe_subnets(Filters=[{"Name": "cidr-block", "Values": [str(subnet)]}])
        group = self._group(found["Subnets"][0]["VpcId"])
        public = self.settings.ssh_key.with_suffix(".pub").read_bytes()
        if not ec2.describe_key_pairs()["KeyPairs"]:
            ec2.import_key_pair(KeyName="operator", PublicKeyMaterial=public)
        item = ec2.run_instances(
            ImageId=ami_id or ec2.describe_images(Owners=[SOURCE_OWNER])["Images"][0]["ImageId"],
            MinCount=1,
            MaxCount=1,
            KeyName="operator",
            SubnetId=found["Subnets"][0]["SubnetId"],
            SecurityGroupIds=[group],
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}
            ],
        )["Instances"][0]
        machine = Machine(
            id=item["InstanceId"],
            name=name,
            role=Role.KAFKA,
            state="",
            address=item["PrivateIpAddress"],
            public_address="",
            ami_id=item["ImageId"],
            release="",
        )
        ssh.wait_until_reachable(self.target, machine, timeout_s=60)
        return machine

    def run(self, machine: Machine, command: str) -> str:
        ssh.wait_until_reachable(self.target, machine, timeout_s=60)
        return ssh.run(self.target, machine, [command], timeout_s=30).stdout

    def world(self) -> dict[str, Any]:
        """Return what the API says of everything that must come back."""
        ec2 = self.target.ec2
        found = {
            "machines": ec2.describe_instances()["Reservations"],
            "groups": ec2.describe_security_groups()["SecurityGroups"],
            "interfaces": ec2.describe_network_interfaces()["NetworkInterfaces"],
            "volumes": ec2.describe_volumes()["Volumes"],
            "AMIs": ec2.describe_images()["Images"],
            "subnets": ec2.describe_subnets()["Subnets"],
        }
        return {key: sorted(map(str, value)) for key, value in found.items()}

    def state(self, machine: Machine) -> str:
        found = self.target.ec2.describe_instances(InstanceIds=[machine.id])
        return str(found["Reservations"][0]["Instances"][0]["State"]["Name"])

    def _group(self, vpc_id: str) -> str:
        ec2 = self.target.ec2
        for group in ec2.describe_security_groups()["SecurityGroups"]:
            if group["GroupName"] == "open":
                return str(group["GroupId"])
        made = ec2.create_security_group(GroupName="open", Description="ssh", VpcId=vpc_id)
        ec2.authorize_security_group_ingress(
            GroupId=made["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
        )
        return str(made["GroupId"])
