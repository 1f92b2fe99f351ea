/* Stands in for NVIDIA's libnvidia-ml.so.1 in tests: the few functions that the producers use.

   STANDIN is how many GPUs there are, or, below zero, the error with which the library refuses to
   start. STANDIN_NO_POWER and STANDIN_LOST are the index of a GPU that can't tell its power, or is
   lost. Signatures and numbers are those of NVML's documentation. */

#include <stdlib.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, INVALID_ARGUMENT = 2, IS_LOST = 15 };

struct utilization { unsigned int gpu, memory; };
struct memory_v2 { unsigned int version; unsigned long long total, reserved, free, used; };

static int devices[8] = {0, 1, 2, 3, 4, 5, 6, 7};

static int told(const char *name, int otherwise) {
  const char *value = getenv(name);
  return value ? atoi(value) : otherwise;
}

int nvmlInitWithFlags(unsigned int flags) {
  int number = told("STANDIN", 0);
  (void)flags;
  return number < 0 ? -number : SUCCESS;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int error) {
  (void)error;
  return "an error of the stand-in";
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
  *count = (unsigned int)told("STANDIN", 0);
  return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
  if ((int)index == told("STANDIN_LOST", -1)) return IS_LOST;
  if (index >= 8) return INVALID_ARGUMENT;
  *device = &devices[index];
  return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, struct utilization *rates) {
  rates->gpu = 40u + (unsigned int)*(int *)device;
  rates->memory = 7;
  return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *memory) {
  if (memory->version != (sizeof(struct memory_v2) | (2u << 24))) return INVALID_ARGUMENT;
  memory->total = 16ull << 30;
  memory->reserved = 300ull << 20;
  memory->used = (1024ull + (unsigned int)*(int *)device) << 20;
  memory->free = memory->total - memory->reserved - memory->used;
  return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned int *milliwatts) {
  if (*(int *)device == told("STANDIN_NO_POWER", -1)) return NOT_SUPPORTED;
  *milliwatts = 100500u + 1000u * (unsigned int)*(int *)device;
  return SUCCESS;
}
