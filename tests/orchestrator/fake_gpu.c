/* A driver of our own making: what libnvidia-ml.so.1 and libcuda.so.1 answer, from a script of devices and faults.
 *
 * FAKE_GPU_SCRIPT names a text file, read afresh at every call, so that a test changes the machine by writing it.
 * A line is a word and its value. `device` and `instance` (a MIG instance of the device above) begin a block;
 * what stands before the first is the driver's. A value that is absent is "not supported", as on a real device.
 *
 *   driver 580.65.06      count 1 (to list fewer)    fault FUNCTION CODE    hang FUNCTION    crash FUNCTION
 *   cuda 13000 (the newest CUDA that the driver knows)
 *   device                                           (faults inside a block are that device's alone)
 *   uuid GPU-1…           name NVIDIA H100           bus 00000000:01:00.0   total 1000       used 10
 *   process PID BYTES     nvlink LINK BUS            path DEVICE LEVEL      xid 48 (a line an event)
 *   ecc_volatile 0        ecc_aggregate 0            retired 0              retirement_pending 0
 *   remapped CORR UNCORR PENDING FAILURE             throttle 8             gpu_use 40
 *   celsius 40            milliwatts 70000           mig 0                  compute wrong (the kernel errs)
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, NOT_INITIALISED = 1, BAD_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMED_OUT = 10 };
enum { LINE = 512, BLOCKS = 64 };

static int initialised;
static int xids_told[BLOCKS];
static uint64_t registered;

/* The nth line of a block that begins with the word; its value, or NULL. */
static char *line_of(int block, const char *word, int nth, char *into) {
  const char *path = getenv("FAKE_GPU_SCRIPT");
  FILE *script = path ? fopen(path, "r") : NULL;
  if (!script) return NULL;
  char line[LINE], first[LINE];
  int here = 0;
  char *found = NULL;
  while (!found && fgets(line, sizeof line, script)) {
    int at = 0;
    if (sscanf(line, "%511s %n", first, &at) != 1 || first[0] == '#') continue;
    if (!strcmp(first, "device") || !strcmp(first, "instance")) here++;
    if (here != block || strcmp(first, word) || nth-- > 0) continue;
    line[strcspn(line, "\n")] = 0;
    found = strcpy(into, line + at);
  }
  fclose(script);
  return found;
}

/* The block of the nth device (owner 0), or of the nth instance of the device whose block is the owner. */
static int block_of(int owner, int nth) {
  char value[LINE];
  int inside = 0;
  for (int block = 1; block < BLOCKS; block++) {
    int device = line_of(block, "device", 0, value) != NULL;
    if (!device && !line_of(block, "instance", 0, value)) return 0;
    if (device) inside = block;
    if (owner ? (!device && inside == owner && nth-- == 0) : (device && nth-- == 0)) return block;
  }
  return 0;
}

static int count_of(int owner) {
  int n = 0;
  while (block_of(owner, n)) n++;
  return n;
}

static int number(int block, const char *word, long long *into) {
  char value[LINE];
  return line_of(block, word, 0, value) && sscanf(value, "%lld", into) == 1;
}

/* What the script has against this function, for the driver as a whole or for one device. */
static int enter(const char *function, int block) {
  char value[LINE], name[LINE];
  int blocks[2] = {0, block};
  for (int i = 0; i < (block ? 2 : 1); i++) {
    for (int n = 0; line_of(blocks[i], "hang", n, value); n++)
      if (!strcmp(value, function)) for (;;) pause();
    for (int n = 0; line_of(blocks[i], "crash", n, value); n++)
      if (!strcmp(value, function)) abort();
    for (int n = 0; line_of(blocks[i], "fault", n, value); n++) {
      int code;
      if (sscanf(value, "%511s %d", name, &code) == 2 && (!strcmp(name, function) || !strcmp(name, "*"))) return code;
    }
  }
  return OK;
}

#define ENTER(block)                                  \
  do {                                                \
    if (!initialised) return NOT_INITIALISED;         \
    int fault = enter(__func__, (int)(block));        \
    if (fault) return fault;                          \
  } while (0)

typedef uintptr_t Device; /* the number of its block */

static int integer(Device device, const char *word, unsigned *into) {
  long long value;
  if (!number((int)device, word, &value)) return NOT_SUPPORTED;
  *into = (unsigned)value;
  return OK;
}

static int text(Device device, const char *word, char *into, unsigned size) {
  char value[LINE];
  if (!line_of((int)device, word, 0, value)) return NOT_SUPPORTED;
  if (strlen(value) + 1 > size) return TOO_SMALL;
  strcpy(into, value);
  return OK;
}

/* ---- NVML ---- */

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  int fault = enter(__func__, 0);
  if (!fault) initialised++;
  return fault;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) {
  if (!initialised) return NOT_INITIALISED;
  initialised--;
  return OK;
}
const char *nvmlErrorString(int code) {
  (void)code;
  return "an error of the fake driver";
}
int nvmlSystemGetDriverVersion(char *into, unsigned size) { ENTER(0); return text(0, "driver", into, size); }
int nvmlDeviceGetCount_v2(unsigned *count) {
  ENTER(0);
  long long listed;
  *count = number(0, "count", &listed) ? (unsigned)listed : (unsigned)count_of(0);
  return OK;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
  *device = (Device)block_of(0, (int)index);
  ENTER(*device);
  return *device ? OK : BAD_ARGUMENT;
}
int nvmlDeviceGetIndex(Device device, unsigned *index) {
  ENTER(device);
  for (*index = 0; block_of(0, (int)*index); ++*index)
    if ((Device)block_of(0, (int)*index) == device) return OK;
  return NOT_FOUND;
}
int nvmlDeviceGetUUID(Device device, char *into, unsigned size) { ENTER(device); return text(device, "uuid", into, size); }
int nvmlDeviceGetName(Device device, char *into, unsigned size) { ENTER(device); return text(device, "name", into, size); }

struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(Device device, struct memory *memory) {
  ENTER(device);
  long long total, used;
  if (!number((int)device, "total", &total) || !number((int)device, "used", &used)) return NOT_SUPPORTED;
  *memory = (struct memory){(unsigned long long)total, (unsigned long long)(total - used), (unsigned long long)used};
  return OK;
}

struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; };
static int pci_of(int block, const char *bus_id, struct pci *pci) {
  (void)block;
  memset(pci, 0, sizeof *pci);
  snprintf(pci->bus_id, sizeof pci->bus_id, "%s", bus_id);
  sscanf(bus_id, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
  return OK;
}
int nvmlDeviceGetPciInfo_v3(Device device, struct pci *pci) {
  ENTER(device);
  char bus[LINE];
  return line_of((int)device, "bus", 0, bus) ? pci_of((int)device, bus, pci) : NOT_SUPPORTED;
}

struct process { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; };
int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, struct process *processes) {
  ENTER(device);
  char value[LINE];
  unsigned n = 0, room = *count;
  for (; line_of((int)device, "process", (int)n, value); n++) {
    if (!processes || n >= room) continue;
    processes[n] = (struct process){0, ~0ULL, ~0U, ~0U}; /* no bytes in the script: the driver cannot say */
    sscanf(value, "%u %llu", &processes[n].pid, &processes[n].used);
  }
  *count = n;
  return n > room || (n && !processes) ? TOO_SMALL : OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned *count, struct process *processes) {
  ENTER(device);
  (void)processes;
  *count = 0;
  return OK;
}

int nvmlDeviceGetTotalEccErrors(Device device, unsigned type, unsigned counter, unsigned long long *count) {
  ENTER(device);
  long long value;
  if (type != 1 || !number((int)device, counter ? "ecc_aggregate" : "ecc_volatile", &value)) return NOT_SUPPORTED;
  *count = (unsigned long long)value;
  return OK;
}
int nvmlDeviceGetRetiredPages(Device device, unsigned cause, unsigned *count, unsigned long long *pages) {
  ENTER(device);
  unsigned retired, room = *count;
  if (integer(device, "retired", &retired)) return NOT_SUPPORTED;
  *count = cause == 1 ? retired : 0; /* all of them for double-bit errors */
  for (unsigned i = 0; pages && i < *count && i < room; i++) pages[i] = i;
  return *count > room ? TOO_SMALL : OK;
}
int nvmlDeviceGetRetiredPagesPendingStatus(Device device, unsigned *pending) {
  ENTER(device);
  return integer(device, "retirement_pending", pending);
}
int nvmlDeviceGetRemappedRows(Device device, unsigned *corr, unsigned *uncorr, unsigned *pending, unsigned *failure) {
  ENTER(device);
  char value[LINE];
  if (!line_of((int)device, "remapped", 0, value)) return NOT_SUPPORTED;
  return sscanf(value, "%u %u %u %u", corr, uncorr, pending, failure) == 4 ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetCurrentClocksEventReasons(Device device, unsigned long long *reasons) {
  ENTER(device);
  long long value;
  if (!number((int)device, "throttle", &value)) return NOT_SUPPORTED;
  *reasons = (unsigned long long)value;
  return OK;
}
struct use { unsigned gpu, memory; };
int nvmlDeviceGetUtilizationRates(Device device, struct use *use) {
  ENTER(device);
  use->memory = 0;
  return integer(device, "gpu_use", &use->gpu);
}
int nvmlDeviceGetTemperature(Device device, unsigned sensor, unsigned *celsius) {
  ENTER(device);
  (void)sensor;
  return integer(device, "celsius", celsius);
}
int nvmlDeviceGetPowerUsage(Device device, unsigned *milliwatts) { ENTER(device); return integer(device, "milliwatts", milliwatts); }

int nvmlDeviceGetMigMode(Device device, unsigned *current, unsigned *pending) {
  ENTER(device);
  int answer = integer(device, "mig", current);
  *pending = *current;
  return answer;
}
int nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *count) { ENTER(device); *count = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device *instance) {
  ENTER(device);
  *instance = (Device)block_of((int)device, (int)index);
  return *instance ? OK : NOT_FOUND;
}

int nvmlDeviceGetTopologyCommonAncestor(Device one, Device other, unsigned *level) {
  ENTER(one);
  char value[LINE];
  unsigned index;
  for (int n = 0; line_of((int)one, "path", n, value); n++)
    if (sscanf(value, "%u %u", &index, level) == 2 && (Device)block_of(0, (int)index) == other) return OK;
  return NOT_SUPPORTED;
}
static char *nvlink(Device device, unsigned link, char *bus) {
  char value[LINE];
  unsigned number;
  for (int n = 0; line_of((int)device, "nvlink", n, value); n++)
    if (sscanf(value, "%u %511s", &number, bus) == 2 && number == link) return bus;
  return NULL;
}
int nvmlDeviceGetNvLinkState(Device device, unsigned link, unsigned *active) {
  ENTER(device);
  char bus[LINE];
  if (!line_of((int)device, "nvlink", 0, bus)) return NOT_SUPPORTED;
  *active = nvlink(device, link, bus) != NULL;
  return OK;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(Device device, unsigned link, struct pci *pci) {
  ENTER(device);
  char bus[LINE];
  return nvlink(device, link, bus) ? pci_of(0, bus, pci) : NOT_SUPPORTED;
}

/* Events: what the script has after a device was registered, each told once. */
struct event { Device device; unsigned long long type, data; unsigned gpu_instance, compute_instance; };
int nvmlEventSetCreate(void **set) { ENTER(0); *set = &registered; return OK; }
int nvmlEventSetFree(void *set) { (void)set; registered = 0; return OK; }
int nvmlDeviceRegisterEvents(Device device, unsigned long long types, void *set) {
  ENTER(device);
  (void)types, (void)set;
  char value[LINE];
  registered |= 1ULL << device;
  for (xids_told[device] = 0; line_of((int)device, "xid", xids_told[device], value); xids_told[device]++) continue;
  return OK;
}
int nvmlEventSetWait_v2(void *set, struct event *event, unsigned timeout_ms) {
  ENTER(0);
  (void)set, (void)timeout_ms;
  char value[LINE];
  for (Device device = 1; device < BLOCKS; device++)
    if (registered >> device & 1 && line_of((int)device, "xid", xids_told[device], value)) {
      xids_told[device]++;
      *event = (struct event){device, 8, strtoull(value, NULL, 10), ~0U, ~0U};
      return OK;
    }
  return TIMED_OUT;
}

/* ---- CUDA ---- */

#define CUDA(block)                             \
  do {                                          \
    int fault = enter(__func__, (int)(block));  \
    if (fault) return fault;                    \
  } while (0)

static int current;

/* As CUDA does: one device of CUDA_VISIBLE_DEVICES where that is a whole uuid; of a GPU that is split, and of all
 * beside it, its first instance alone. */
static int cuda_block(int ordinal) {
  const char *wanted = getenv("CUDA_VISIBLE_DEVICES");
  char value[LINE];
  long long mig;
  if (wanted && (!strncmp(wanted, "GPU-", 4) || !strncmp(wanted, "MIG-", 4))) {
    for (int block = 1; ordinal == 0 && block < BLOCKS; block++)
      if (line_of(block, "uuid", 0, value) && !strcmp(value, wanted)) return block;
    return 0;
  }
  if (wanted && !*wanted) return 0;
  for (int n = 0; block_of(0, n); n++)
    if (number(block_of(0, n), "mig", &mig) && mig && block_of(block_of(0, n), 0))
      return ordinal ? 0 : block_of(block_of(0, n), 0);
  return block_of(0, ordinal);
}

int cuInit(unsigned flags) { (void)flags; CUDA(0); return OK; }
int cuDriverGetVersion(int *version) {
  long long value;
  CUDA(0);
  *version = number(0, "cuda", &value) ? (int)value : 13000;
  return OK;
}
int cuGetErrorName(int code, const char **name) {
  *name = code == 100 ? "CUDA_ERROR_NO_DEVICE" : code == 46 ? "CUDA_ERROR_DEVICE_UNAVAILABLE" : "CUDA_ERROR_OF_THE_FAKE";
  return OK;
}
int cuDeviceGetCount(int *count) { CUDA(0); for (*count = 0; cuda_block(*count); ++*count) continue; return OK; }
int cuDeviceGet(int *device, int ordinal) { CUDA(0); *device = cuda_block(ordinal); return *device ? OK : 101; }
int cuDeviceGetName(char *name, int size, int device) { CUDA(device); return text((Device)device, "name", name, (unsigned)size); }
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
  CUDA(device);
  char value[LINE];
  if (!line_of(device, "uuid", 0, value)) return 1;
  const char *hex = value + 4; /* after GPU- or MIG- */
  for (int i = 0; i < 16; i++) {
    unsigned byte;
    while (*hex == '-') hex++;
    if (sscanf(hex, "%2x", &byte) != 1) return 1;
    uuid[i] = (unsigned char)byte;
    hex += 2;
  }
  return OK;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { CUDA(device); *context = (void *)(uintptr_t)device; return OK; }
int cuDevicePrimaryCtxRelease_v2(int device) { CUDA(device); return OK; }
int cuCtxSetCurrent(void *context) { current = (int)(uintptr_t)context; CUDA(current); return OK; }
int cuMemAlloc_v2(unsigned long long *address, size_t size) {
  CUDA(current);
  *address = (unsigned long long)(uintptr_t)calloc(1, size);
  return OK;
}
int cuMemFree_v2(unsigned long long address) { CUDA(current); free((void *)(uintptr_t)address); return OK; }
int cuModuleLoadData(void **module, const char *ptx) { CUDA(current); *module = (void *)ptx; return OK; }
int cuModuleGetFunction(void **function, void *module, const char *name) {
  CUDA(current);
  *function = module;
  return strstr(module, name) ? OK : 500;
}
int cuLaunchKernel(void *function, unsigned grid, unsigned gy, unsigned gz, unsigned block, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **parameters, void **extra) {
  CUDA(current);
  (void)function, (void)gy, (void)gz, (void)by, (void)bz, (void)shared, (void)stream, (void)extra;
  char value[LINE];
  unsigned *out = (unsigned *)(uintptr_t)*(unsigned long long *)parameters[0];
  unsigned factor = line_of(current, "compute", 0, value) ? 4 : 3;
  for (unsigned i = 0; i < grid * block; i++) out[i] = factor * i + 1;
  return OK;
}
int cuMemGetInfo_v2(size_t *free, size_t *total) {
  long long all, used;
  CUDA(current);
  if (!number(current, "total", &all) || !number(current, "used", &used)) return 1;
  *free = (size_t)(all - used);
  *total = (size_t)all;
  return OK;
}
int cuCtxSynchronize(void) { CUDA(current); return OK; }
int cuMemcpyDtoH_v2(void *to, unsigned long long from, size_t size) {
  CUDA(current);
  memcpy(to, (void *)(uintptr_t)from, size);
  return OK;
}
