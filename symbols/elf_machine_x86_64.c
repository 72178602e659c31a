// SPDX-License-Identifier: MIT
#include "symbols/elf_headers.h"

const u16 elf_machine = EM_X86_64;
