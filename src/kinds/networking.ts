import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const IngressClass: Kind<types.IngressClass> = defineKind('networking.k8s.io/v1/IngressClass');
export type IngressClass = types.IngressClass;

export const Ingress: Kind<types.Ingress> = defineKind('networking.k8s.io/v1/Ingress');
export type Ingress = types.Ingress;

export const IPAddress: Kind<types.IPAddress> = defineKind('networking.k8s.io/v1/IPAddress');
export type IPAddress = types.IPAddress;

export const NetworkPolicy: Kind<types.NetworkPolicy> = defineKind('networking.k8s.io/v1/NetworkPolicy');
export type NetworkPolicy = types.NetworkPolicy;

export const ServiceCIDR: Kind<types.ServiceCIDR> = defineKind('networking.k8s.io/v1/ServiceCIDR');
export type ServiceCIDR = types.ServiceCIDR;
