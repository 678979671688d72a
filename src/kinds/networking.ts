import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const IngressClass: Kind<types.IngressClass> = defineKind<types.IngressClass>('networking.k8s.io/v1/IngressClass', {
  unattended: 'no ingress controller serves Ingresses yet',
});
export type IngressClass = types.IngressClass;

export const Ingress: Kind<types.Ingress> = defineKind<types.Ingress>('networking.k8s.io/v1/Ingress', {
  unattended: 'no ingress controller serves Ingresses yet',
});
export type Ingress = types.Ingress;

export const IPAddress: Kind<types.IPAddress> = defineKind<types.IPAddress>('networking.k8s.io/v1/IPAddress', {
  unattended: 'service addresses are not taken from IPAddress objects yet',
});
export type IPAddress = types.IPAddress;

export const NetworkPolicy: Kind<types.NetworkPolicy> = defineKind<types.NetworkPolicy>('networking.k8s.io/v1/NetworkPolicy', {
  unattended: 'network policies are not enforced yet: traffic is not restricted',
});
export type NetworkPolicy = types.NetworkPolicy;

export const ServiceCIDR: Kind<types.ServiceCIDR> = defineKind<types.ServiceCIDR>('networking.k8s.io/v1/ServiceCIDR', {
  unattended: 'service addresses are not taken from ServiceCIDR objects yet',
});
export type ServiceCIDR = types.ServiceCIDR;
