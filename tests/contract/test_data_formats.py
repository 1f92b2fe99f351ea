"""What images/*/data-format.json says of a store is what the store itself says."""

from __future__ import annotations

import re

from runtime import proc
from runtime.bake import images
from runtime.contract.data import read_format
from runtime.settings import Settings

ASK = (
    'java -Xmx128m -cp "$(cat /opt/bullion/classpath)" org.apache.kafka.tools.FeatureCommand'
    " --bootstrap-server none:1 version-mapping"
)


def test_kafka_writes_the_metadata_version_that_its_file_says(lab_settings: Settings) -> None:
    image = images.build(lab_settings, ["kafka"])["kafka"].record
    alone = ["docker", "run", "--rm", "--network=none", "--entrypoint=bash", image.id, "-c", ASK]
    said = proc.run(alone, timeout_s=120).stdout
    where = "images/kafka/data-format.json"
    known = read_format((lab_settings.root / where).read_text(), where=where)
    level = re.search(r"metadata\.version=(\d+)", said)
    assert level, said
    assert known[image.origin].writes == int(level[1])
    assert known["registry"] == known["packages"]
