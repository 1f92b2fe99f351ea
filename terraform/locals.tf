locals {
  roles = toset(["kafka", "mongo", "processor", "producers"])

  # Those whose data outlives their machine; runtime/contract/data.py says the same.
  data_roles = toset(["kafka", "mongo"])

  # Those beyond the first, which has the role's own name whatever the count is.
  further_processors = { for n in range(2, var.processor_count + 1) : "processor-${n}" => n }

  # Which role each machine has, by the machine's name.
  machines = merge(
    { for role in local.roles : role => role },
    { for name in keys(local.further_processors) : name => "processor" },
  )

  # Fixed, so that all machines launch at once and an AMI change of one leaves the others alone.
  addresses = merge(
    {
      kafka     = cidrhost(local.subnet_cidr, 10)
      mongo     = cidrhost(local.subnet_cidr, 11)
      processor = cidrhost(local.subnet_cidr, 12)
      producers = cidrhost(local.subnet_cidr, 13)
    },
    { for name, n in local.further_processors : name => cidrhost(local.subnet_cidr, 20 + n) },
  )
  subnet_cidr = cidrsubnet(var.vpc_cidr, 24 - tonumber(split("/", var.vpc_cidr)[1]), 1)

  # Of a new stack.
  zone = data.aws_availability_zones.available.names[0]

  # Who must know whom; kafka and mongo need nobody.
  peers = {
    kafka     = {}
    mongo     = {}
    processor = { kafka = local.addresses.kafka, mongo = local.addresses.mongo }
    producers = { kafka = local.addresses.kafka }
  }

  # User data is peers and nothing else: no scripts, no packages, no parameters.
  user_data = {
    for role in local.roles : role => join("", ["#cloud-config\n", jsonencode({
      write_files = [{
        path        = "/etc/bullion/peers.json"
        permissions = "0644"
        content     = jsonencode(local.peers[role])
      }]
    })])
  }

  # Who may reach which port, one rule each; runtime/contract/ports.py says the same.
  flows = {
    kafka-from-processor = { to = "kafka", port = 9092, from = "processor" }
    kafka-from-producers = { to = "kafka", port = 9092, from = "producers" }
    mongo-from-processor = { to = "mongo", port = 27017, from = "processor" }
  }
  admin_flows = merge(
    { processor-from-admin = { to = "processor", port = 8080 } },
    { for role in local.roles : "${role}-ssh-from-admin" => { to = role, port = 22 } },
  )

  # Which role reads which parameter.
  parameters = {
    kafka = {
      gpu_topic            = var.gpu_topic
      token_topic          = var.token_topic
      topic_partitions     = var.topic_partitions
      kafka_heap_mb        = var.kafka_heap_mb
      kafka_flush_messages = var.kafka_flush_messages
    }
    mongo = {
      database       = var.database
      mongo_cache_gb = var.mongo_cache_gb
    }
    processor = {
      gpu_topic      = var.gpu_topic
      token_topic    = var.token_topic
      database       = var.database
      consumer_group = var.consumer_group
      consume_batch  = var.consume_batch
    }
    producers = {
      gpu_topic      = var.gpu_topic
      token_topic    = var.token_topic
      message_count  = var.message_count
      batch_size     = var.batch_size
      interval_s     = var.interval_s
      seed           = var.seed
      message_source = var.message_source
    }
  }

  # An override rides on an instance tag, so that a change needs no new machine.
  parameter_tags = {
    for role in local.roles : role => {
      for name, value in local.parameters[role] : "bullion-param:${name}" => tostring(value) if value != null
    }
  }
}
