# One variable per parameter of runtime/contract/parameters.py; null leaves what the AMI has baked.
# A change reaches running machines as a tag: `./invoke deploy`, then `./invoke refresh`.

variable "batch_size" {
  type        = number
  description = "Messages sent before each pause."
  default     = null

  validation {
    condition     = var.batch_size == null ? true : var.batch_size >= 1 && var.batch_size <= 100000 && floor(var.batch_size) == var.batch_size
    error_message = "The batch_size must be a whole number from 1 to 100000."
  }
}

variable "consume_batch" {
  type        = number
  description = "Most messages taken from Kafka and stored at once."
  default     = null

  validation {
    condition     = var.consume_batch == null ? true : var.consume_batch >= 1 && var.consume_batch <= 100000 && floor(var.consume_batch) == var.consume_batch
    error_message = "The consume_batch must be a whole number from 1 to 100000."
  }
}

variable "consumer_group" {
  type        = string
  description = "Consumer group of the processors."
  default     = null

  validation {
    condition     = var.consumer_group == null ? true : can(regex("^([A-Za-z0-9_-]{1,60})$", var.consumer_group))
    error_message = "The consumer_group must be text matching [A-Za-z0-9_-]{1,60}."
  }
}

variable "database" {
  type        = string
  description = "Database that holds the documents."
  default     = null

  validation {
    condition     = var.database == null ? true : can(regex("^([A-Za-z0-9_-]{1,60})$", var.database))
    error_message = "The database must be text matching [A-Za-z0-9_-]{1,60}."
  }
}

variable "gpu_topic" {
  type        = string
  description = "Topic of GPU measurements."
  default     = null

  validation {
    condition     = var.gpu_topic == null ? true : can(regex("^([A-Za-z0-9._-]{1,200})$", var.gpu_topic))
    error_message = "The gpu_topic must be text matching [A-Za-z0-9._-]{1,200}."
  }
}

variable "interval_s" {
  type        = number
  description = "Pause between two batches in seconds."
  default     = null

  validation {
    condition     = var.interval_s == null ? true : var.interval_s >= 0 && var.interval_s <= 3600
    error_message = "The interval_s must be a number from 0 to 3600."
  }
}

variable "kafka_heap_mb" {
  type        = number
  description = "Heap of the broker in MiB."
  default     = null

  validation {
    condition     = var.kafka_heap_mb == null ? true : var.kafka_heap_mb >= 192 && var.kafka_heap_mb <= 65536 && floor(var.kafka_heap_mb) == var.kafka_heap_mb
    error_message = "The kafka_heap_mb must be a whole number from 192 to 65536."
  }
}

variable "kafka_flush_messages" {
  type        = number
  description = "Messages of a partition after which it is synced; 1: all that is confirmed."
  default     = null

  validation {
    condition     = var.kafka_flush_messages == null ? true : var.kafka_flush_messages >= 1 && var.kafka_flush_messages <= 1000000000 && floor(var.kafka_flush_messages) == var.kafka_flush_messages
    error_message = "The kafka_flush_messages must be a whole number from 1 to 1000000000."
  }
}

variable "message_count" {
  type        = number
  description = "Messages per topic of one producer run."
  default     = null

  validation {
    condition     = var.message_count == null ? true : var.message_count >= 1 && var.message_count <= 10000000 && floor(var.message_count) == var.message_count
    error_message = "The message_count must be a whole number from 1 to 10000000."
  }
}

variable "mongo_cache_gb" {
  type        = number
  description = "WiredTiger cache in GiB."
  default     = null

  validation {
    condition     = var.mongo_cache_gb == null ? true : var.mongo_cache_gb >= 0.25 && var.mongo_cache_gb <= 1024
    error_message = "The mongo_cache_gb must be a number from 0.25 to 1024."
  }
}

variable "seed" {
  type        = number
  description = "Seed of the simulated series."
  default     = null

  validation {
    condition     = var.seed == null ? true : var.seed >= 0 && var.seed <= 2147483648 && floor(var.seed) == var.seed
    error_message = "The seed must be a whole number from 0 to 2147483648."
  }
}

variable "message_source" {
  type        = string
  description = "`simulation`, `nvml`, `-` for stdin, the path of a JSON Lines file on the machine, or http://host:port/metrics."
  default     = null

  validation {
    condition     = var.message_source == null ? true : can(regex("^(simulation|nvml|-|/[A-Za-z0-9._/-]{1,200}|http://[A-Za-z0-9.-]{1,200}(:[0-9]{1,5})?(/[A-Za-z0-9._/-]{0,200})?)$", var.message_source))
    error_message = "The message_source must be text matching simulation|nvml|-|/[A-Za-z0-9._/-]{1,200}|http://[A-Za-z0-9.-]{1,200}(:[0-9]{1,5})?(/[A-Za-z0-9._/-]{0,200})?."
  }
}

variable "token_topic" {
  type        = string
  description = "Topic of token counts."
  default     = null

  validation {
    condition     = var.token_topic == null ? true : can(regex("^([A-Za-z0-9._-]{1,200})$", var.token_topic))
    error_message = "The token_topic must be text matching [A-Za-z0-9._-]{1,200}."
  }

  # The two names are what is baked.
  validation {
    condition     = coalesce(var.token_topic, "token.usage.v1") != coalesce(var.gpu_topic, "gpu.metrics.v1")
    error_message = "The token_topic must not be the gpu_topic: a topic holds one kind of message."
  }
}

variable "topic_partitions" {
  type        = number
  description = "Partitions of each topic; they can become more, never fewer."
  default     = null

  validation {
    condition     = var.topic_partitions == null ? true : var.topic_partitions >= 1 && var.topic_partitions <= 64 && floor(var.topic_partitions) == var.topic_partitions
    error_message = "The topic_partitions must be a whole number from 1 to 64."
  }
}
