# Bad variables are refused with the rule; runs without any provider.
mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a"] }
  }
}

run "good_inputs_are_planned" {
  command = plan
}

run "the_whole_world_is_no_operator" {
  command = plan
  variables {
    admin_cidr = "0.0.0.0/0"
  }
  expect_failures = [var.admin_cidr]
}

run "an_ami_is_named_by_its_id" {
  command = plan
  variables {
    ami_ids = {
      kafka     = "latest"
      mongo     = "ami-00000002"
      processor = "ami-00000003"
      producers = "ami-00000004"
    }
  }
  expect_failures = [var.ami_ids]
}

run "a_release_is_a_calendar_version" {
  command = plan
  variables {
    release = "v1"
  }
  expect_failures = [var.release]
}

run "a_key_is_in_openssh_form" {
  command = plan
  variables {
    ssh_public_key = "-----BEGIN PUBLIC KEY-----"
  }
  expect_failures = [var.ssh_public_key]
}

run "a_stack_has_a_plain_name" {
  command = plan
  variables {
    stack = "My Stack"
  }
  expect_failures = [var.stack]
}

run "a_vpc_has_room_for_the_subnet" {
  command = plan
  variables {
    vpc_cidr = "10.0.0.0/28"
  }
  expect_failures = [var.vpc_cidr]
}

run "a_volume_holds_an_ami" {
  command = plan
  variables {
    volume_size_gb = 4
  }
  expect_failures = [var.volume_size_gb]
}

run "a_data_volume_is_whole_gibibytes" {
  command = plan
  variables {
    data_volume_size_gb = 1.5
  }
  expect_failures = [var.data_volume_size_gb]
}

run "a_data_volume_has_room" {
  command = plan
  variables {
    data_volume_size_gb = 0
  }
  expect_failures = [var.data_volume_size_gb]
}

run "a_hop_limit_is_at_least_one" {
  command = plan
  variables {
    metadata_hop_limit = 0
  }
  expect_failures = [var.metadata_hop_limit]
}

run "parameters_keep_their_rules" {
  command = plan
  variables {
    consume_batch    = 0
    interval_s       = -1
    gpu_topic        = "a topic"
    message_source   = "https://10.0.0.9/metrics"
    topic_partitions = 1.5
  }
  expect_failures = [
    var.consume_batch, var.interval_s, var.gpu_topic, var.message_source, var.topic_partitions,
  ]
}

run "a_topic_holds_one_kind_of_message" {
  command = plan
  variables {
    gpu_topic   = "all"
    token_topic = "all"
  }
  expect_failures = [var.token_topic]
}

run "a_topic_has_not_the_name_that_is_baked_for_the_other" {
  command = plan
  variables {
    gpu_topic = "token.usage.v1"
  }
  expect_failures = [var.token_topic]
}

run "a_processor_count_is_at_least_one" {
  command = plan
  variables {
    processor_count = 0
  }
  expect_failures = [var.processor_count]
}

run "a_processor_count_is_at_most_eight" {
  command = plan
  variables {
    processor_count  = 9
    topic_partitions = 16
  }
  expect_failures = [var.processor_count]
}

run "a_processor_count_is_whole" {
  command = plan
  variables {
    processor_count = 1.5
  }
  expect_failures = [var.processor_count]
}

run "no_processor_is_launched_to_be_idle" {
  command = plan
  variables {
    processor_count  = 3
    topic_partitions = 1
  }
  expect_failures = [var.processor_count]
}
