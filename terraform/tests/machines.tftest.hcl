# What machines are launched with.
mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a"] }
  }
}

run "user_data_is_peers_and_nothing_else" {
  command = plan

  assert {
    condition = aws_instance.role["processor"].user_data == join("", ["#cloud-config\n", jsonencode({
      write_files = [{
        path        = "/etc/bullion/peers.json"
        permissions = "0644"
        content     = jsonencode({ kafka = "10.20.1.10", mongo = "10.20.1.11" })
      }]
    })])
    error_message = "The processor's user data must be its peers."
  }

  assert {
    condition     = strcontains(aws_instance.role["kafka"].user_data, "\"content\":\"{}\"")
    error_message = "Kafka needs no peers."
  }
}

run "metadata_is_version_two_with_one_hop_and_tags" {
  command = plan

  assert {
    condition = alltrue([for machine in aws_instance.role : (
      machine.metadata_options[0].http_tokens == "required" &&
      machine.metadata_options[0].http_put_response_hop_limit == 1 &&
      machine.metadata_options[0].instance_metadata_tags == "enabled"
    )])
    error_message = "Metadata must need a token, reach one hop, and offer tags."
  }
}

run "root_volumes_are_encrypted" {
  command = plan

  assert {
    condition     = alltrue([for machine in aws_instance.role : machine.root_block_device[0].encrypted])
    error_message = "Root volumes must be encrypted."
  }
}

run "kafka_and_mongo_keep_their_data_on_encrypted_volumes_of_their_own" {
  command = plan
  variables {
    data_volume_size_gb = 20
  }

  assert {
    condition     = keys(aws_ebs_volume.data) == ["kafka", "mongo"] && keys(aws_volume_attachment.data) == ["kafka", "mongo"]
    error_message = "Kafka and mongo need a data volume each, and nobody else."
  }

  assert {
    condition = alltrue([for role, volume in aws_ebs_volume.data : (
      volume.encrypted && volume.type == "gp3" && volume.size == 20 &&
      volume.availability_zone == aws_subnet.machines.availability_zone &&
      volume.tags["bullion:role"] == role
    )])
    error_message = "A data volume must be encrypted gp3 of the size asked for, in its machine's zone, tagged with its role."
  }

  assert {
    condition     = alltrue([for attachment in aws_volume_attachment.data : attachment.stop_instance_before_detaching])
    error_message = "A machine must shut down before it loses its data volume."
  }
}

run "a_parameter_becomes_a_tag_of_the_roles_that_read_it" {
  command = plan
  variables {
    gpu_topic      = "gpu.metrics.v2"
    consume_batch  = 7
    message_source = "http://10.0.0.9:9400/metrics"
  }

  assert {
    condition = [
      for role in ["kafka", "mongo", "processor", "producers"] :
      lookup(aws_instance.role[role].tags, "bullion-param:gpu_topic", "none")
    ] == ["gpu.metrics.v2", "none", "gpu.metrics.v2", "gpu.metrics.v2"]
    error_message = "The topic must reach kafka, processor and producers, and nobody else."
  }

  assert {
    condition     = aws_instance.role["processor"].tags["bullion-param:consume_batch"] == "7"
    error_message = "A number must become its text."
  }

  assert {
    condition     = aws_instance.role["producers"].tags["bullion-param:message_source"] == "http://10.0.0.9:9400/metrics"
    error_message = "An exporter may be a source."
  }
}

run "without_overrides_there_are_no_parameter_tags" {
  command = plan

  assert {
    condition     = alltrue([for machine in aws_instance.role : !anytrue([for key in keys(machine.tags) : startswith(key, "bullion-param:")])])
    error_message = "Defaults are baked; only overrides are tags."
  }
}

run "private_unless_public_addresses_are_asked_for" {
  command = plan

  assert {
    condition     = length(aws_eip.role) + length(aws_route.out) + length(aws_internet_gateway.main) == 0
    error_message = "There must be no way out by default."
  }
}

run "public_addresses_bring_a_way_out" {
  command = plan
  variables {
    public_ip = true
  }

  assert {
    condition     = length(aws_eip.role) == 4 && length(aws_route.out) == 1
    error_message = "Each machine needs an address, and the subnet a route."
  }
}

run "one_processor_is_what_there_is_without_a_word" {
  command = plan

  assert {
    condition     = keys(aws_instance.role) == ["kafka", "mongo", "processor", "producers"]
    error_message = "There must be one machine per role, by the role's name."
  }
}

run "further_processors_are_as_the_first_with_addresses_of_their_own" {
  command = plan
  variables {
    processor_count = 8
    public_ip       = true
    consume_batch   = 7
  }

  assert {
    condition = [for n in range(2, 9) : aws_network_interface.role["processor-${n}"].private_ips] == [
      for n in range(2, 9) : toset(["10.20.1.${20 + n}"])
    ]
    error_message = "Further processors must have the addresses .22 to .28."
  }

  assert {
    condition = { for role in ["kafka", "mongo", "processor", "producers"] : role => one(aws_network_interface.role[role].private_ips) } == {
      kafka = "10.20.1.10", mongo = "10.20.1.11", processor = "10.20.1.12", producers = "10.20.1.13"
    }
    error_message = "However many processors there are, the others keep their addresses."
  }

  assert {
    condition = alltrue([for n in range(2, 9) : (
      aws_instance.role["processor-${n}"].ami == "ami-00000003" &&
      aws_instance.role["processor-${n}"].user_data == aws_instance.role["processor"].user_data &&
      aws_instance.role["processor-${n}"].instance_type == aws_instance.role["processor"].instance_type &&
      aws_instance.role["processor-${n}"].tags == tomap(merge(aws_instance.role["processor"].tags, { Name = "bullion-processor-${n}" }))
    )])
    error_message = "A further processor must differ from the first in its name alone."
  }

  assert {
    condition     = keys(aws_security_group.role) == ["kafka", "mongo", "processor", "producers"]
    error_message = "There must be one security group per role."
  }

  assert {
    condition     = length(aws_eip.role) == 11 && length(output.machines) == 11
    error_message = "Each machine must have a public address when asked for, and be in the outputs."
  }
}
