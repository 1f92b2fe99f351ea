"""The lab that a test run has, and the machines and AMIs that a test makes in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from runtime import proc, wait
from runtime.cloud.target import Target
from runtime.lab.machines.hypervisor import Hypervisor
from tests.machines.volumes.kit import started_at

QUICK = {"Delay": 1, "MaxAttempts": 180}
_FETCH = """
import json, sys, urllib.request
def ask(method, path, **headers):
    url = "http://169.254.169.254/latest/" + path
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=3) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError as error:
        return 0, type(error).__name__
status, token = ask("PUT", "api/token", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
own = {"X-aws-ec2-metadata-token": token}
found = {path: ask("GET", path, **own)[1] for path in sys.argv[1:]} if status == 200 else {}
print(json.dumps({"status": status, "token": token, "found": found}))
"""


@dataclass
class Lab:
    """The running lab, and the machines that a test made in it."""

    target: Target
    hypervisor: Hypervisor
    subnet: str
    source_ami: str
    made: list[str] = field(default_factory=list)
    amis: list[str] = field(default_factory=list)

    @property
    def ec2(self) -> Any:
        return self.target.ec2

    def launch(self, count: int = 1, **more: Any) -> list[str]:
        """Launch machines and return their ids once they have booted."""
        asked = {
            "ImageId": self.source_ami,
            "InstanceType": "t3.micro",
            "SubnetId": self.subnet,
            "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        }
        made = self.ec2.run_instances(MinCount=count, MaxCount=count, **(asked | more))
        ids = [item["InstanceId"] for item in made["Instances"]]
        self.made += ids
        self.ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=QUICK)
        for machine_id in ids:
            self.booted(machine_id)
        return ids

    def booted(self, machine_id: str) -> None:
        """Return when cloud-init is through."""
        check = ["sh", "-c", "test -e /run/cloud-init/result.json"]
        wait.until(
            lambda: self.inside(machine_id, *check, ok=range(256)).status == 0,
            what=f"the boot of {machine_id}",
            timeout_s=120,
            last=lambda: self.console(machine_id)[-500:],
        )

    def inside(self, machine_id: str, *words: str, ok: Any = (0,)) -> proc.Completed:
        name = self.hypervisor.name(machine_id)
        return proc.run(["docker", "exec", name, *words], timeout_s=60, ok=ok)

    def imds(self, machine_id: str, *paths: str, nested: bool = False) -> dict[str, Any]:
        where = ["ip", "netns", "exec", "nest"] if nested else []
        asked = self.inside(machine_id, *where, "python3", "-c", _FETCH, *paths)
        return dict(json.loads(asked.stdout))

    def describe(self, machine_id: str) -> dict[str, Any]:
        found = self.ec2.describe_instances(InstanceIds=[machine_id])
        return dict(found["Reservations"][0]["Instances"][0])

    def state(self, machine_id: str) -> str:
        return str(self.describe(machine_id)["State"]["Name"])

    def started_at(self, machine_id: str) -> str:
        return started_at(self.hypervisor, machine_id)

    def console(self, machine_id: str) -> str:
        return str(self.ec2.get_console_output(InstanceId=machine_id).get("Output", ""))

    def stop(self, machine_id: str, **how: Any) -> None:
        self.ec2.stop_instances(InstanceIds=[machine_id], **how)
        self.ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine_id], WaiterConfig=QUICK)

    def start(self, machine_id: str) -> None:
        self.ec2.start_instances(InstanceIds=[machine_id])
        self.ec2.get_waiter("instance_running").wait(InstanceIds=[machine_id], WaiterConfig=QUICK)
        self.booted(machine_id)

    def image(self, machine_id: str, name: str, **how: Any) -> str:
        made = str(self.ec2.create_image(InstanceId=machine_id, Name=name, **how)["ImageId"])
        self.amis.append(made)
        self.ec2.get_waiter("image_available").wait(ImageIds=[made], WaiterConfig=QUICK)
        return made

    def clean(self) -> None:
        if self.made:
            self.ec2.terminate_instances(InstanceIds=self.made)
            self.ec2.get_waiter("instance_terminated").wait(
                InstanceIds=self.made, WaiterConfig=QUICK
            )
        for ami in self.amis:
            self.ec2.deregister_image(ImageId=ami, DeleteAssociatedSnapshots=True)
