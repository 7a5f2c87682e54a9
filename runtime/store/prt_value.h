
/*
 * Copyright (C) the maintainers of nginx pprof
 */


#ifndef _PRT_VALUE_H_INCLUDED_
#define _PRT_VALUE_H_INCLUDED_


#define PRT_VALUES_MAX  4                  /* of a sample: Alloy's limit too */


typedef struct {
    const char          *type;             /* "cpu" */
    const char          *unit;             /* "nanoseconds" */
} prt_value_type_t;


#endif /* _PRT_VALUE_H_INCLUDED_ */
