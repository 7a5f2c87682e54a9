
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * The wait profile: what the control thread's work waited for, as the program
 * tells it.
 */


#ifndef _PRT_WAIT_H_INCLUDED_
#define _PRT_WAIT_H_INCLUDED_


#include "sources/prt_profile.h"


extern const prt_source_t  prt_wait_source;


#endif /* _PRT_WAIT_H_INCLUDED_ */
